"""Codes and English names of the languages that have a code of two letters: which of them mean the same one.

Knows nothing of what is served. A language without such a code is known by its code of three letters, as it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

LONGEST = 100  # characters of what is asked for: no code and no name has so many

# ISO 639-1, 639-3, 639-2/B where it differs, then codes of the variety that stands for the whole (arb, cmn, nob), as
# NLLB has them, and withdrawn ones; then English names.
_TABLE = """
aa aar Afar
ab abk Abkhazian
ae ave Avestan
af afr Afrikaans
ak aka Akan
am amh Amharic
an arg Aragonese
ar ara arb Arabic
as asm Assamese
av ava Avaric
ay aym ayr Aymara
az aze azj Azerbaijani, Azeri
ba bak Bashkir
be bel Belarusian
bg bul Bulgarian
bi bis Bislama
bm bam Bambara
bn ben Bengali, Bangla
bo bod tib Tibetan
br bre Breton
bs bos Bosnian
ca cat Catalan, Valencian
ce che Chechen
ch cha Chamorro
co cos Corsican
cr cre Cree
cs ces cze Czech
cu chu Church Slavic, Church Slavonic
cv chv Chuvash
cy cym wel Welsh
da dan Danish
de deu ger German
dv div Divehi, Dhivehi, Maldivian
dz dzo Dzongkha
ee ewe Ewe
el ell gre Greek, Modern Greek
en eng English
eo epo Esperanto
es spa Spanish, Castilian
et est ekk Estonian
eu eus baq Basque
fa fas per pes Persian, Farsi
ff ful fuv Fulah, Fula, Fulani
fi fin Finnish
fj fij Fijian
fo fao Faroese
fr fra fre French
fy fry Western Frisian, Frisian
ga gle Irish, Irish Gaelic
gd gla Scottish Gaelic
gl glg Galician
gn grn gug Guarani
gu guj Gujarati
gv glv Manx
ha hau Hausa
he heb iw Hebrew
hi hin Hindi
ho hmo Hiri Motu
hr hrv Croatian
ht hat Haitian Creole, Haitian
hu hun Hungarian
hy hye arm Armenian
hz her Herero
ia ina Interlingua
id ind in Indonesian
ie ile Interlingue, Occidental
ig ibo Igbo
ii iii Sichuan Yi, Nuosu
ik ipk Inupiaq
io ido Ido
is isl ice Icelandic
it ita Italian
iu iku Inuktitut
ja jpn Japanese
jv jav jw Javanese
ka kat geo Georgian
kg kon Kongo
ki kik Kikuyu, Gikuyu
kj kua Kuanyama
kk kaz Kazakh
kl kal Kalaallisut, Greenlandic
km khm Khmer
kn kan Kannada
ko kor Korean
kr kau knc Kanuri
ks kas Kashmiri
ku kur kmr Kurdish
kv kom Komi
kw cor Cornish
ky kir Kyrgyz, Kirghiz
la lat Latin
lb ltz Luxembourgish
lg lug Ganda, Luganda
li lim Limburgish, Limburgan
ln lin Lingala
lo lao Lao
lt lit Lithuanian
lu lub Luba-Katanga
lv lav lvs Latvian
mg mlg plt Malagasy
mh mah Marshallese
mi mri mao Maori
mk mkd mac Macedonian
ml mal Malayalam
mn mon khk Mongolian
mr mar Marathi
ms msa may zsm Malay
mt mlt Maltese
my mya bur Burmese, Myanmar
na nau Nauru
nd nde North Ndebele
ne nep npi Nepali
ng ndo Ndonga
nl nld dut Dutch, Flemish
nn nno Norwegian Nynorsk, Nynorsk
no nor nb nob Norwegian, Norwegian Bokmål, Bokmål
nr nbl South Ndebele
nv nav Navajo
ny nya Chichewa, Nyanja
oc oci Occitan
oj oji Ojibwa
om orm gaz Oromo
or ori ory Oriya, Odia
os oss Ossetian, Ossetic
pa pan Punjabi, Panjabi
pi pli Pali
pl pol Polish
ps pus pbt Pashto, Pushto
pt por Portuguese
qu que quy Quechua
rm roh Romansh
rn run Rundi, Kirundi
ro ron rum mo mol Romanian, Moldavian, Moldovan
ru rus Russian
rw kin Kinyarwanda
sa san Sanskrit
sc srd Sardinian
sd snd Sindhi
se sme Northern Sami
sg sag Sango
si sin Sinhala, Sinhalese
sk slk slo Slovak
sl slv Slovenian
sm smo Samoan
sn sna Shona
so som Somali
sq sqi alb als Albanian
sr srp Serbian
ss ssw Swati, Swazi
st sot Southern Sotho, Sotho, Sesotho
su sun Sundanese
sv swe Swedish
sw swa swh Swahili
ta tam Tamil
te tel Telugu
tg tgk Tajik
th tha Thai
ti tir Tigrinya
tk tuk Turkmen
tl tgl fil Tagalog, Filipino
tn tsn Tswana
to ton Tonga, Tongan
tr tur Turkish
ts tso Tsonga
tt tat Tatar
tw twi Twi
ty tah Tahitian
ug uig Uyghur, Uighur
uk ukr Ukrainian
ur urd Urdu
uz uzb uzn Uzbek
ve ven Venda
vi vie Vietnamese
vo vol Volapük
wa wln Walloon
wo wol Wolof
xh xho Xhosa
yi yid ydd ji Yiddish
yo yor Yoruba
za zha Zhuang
zh zho chi cmn Chinese, Mandarin, Mandarin Chinese
zu zul Zulu
"""


def _entries() -> Iterator[tuple[list[str], list[str]]]:
    """Codes and names of each language."""
    for line in _TABLE.strip().splitlines():
        codes, names = re.split(r" (?=[A-Z])", line, maxsplit=1)
        yield codes.split(" "), names.split(", ")


_LANGUAGES = {said.casefold(): codes[0] for codes, names in _entries() for said in (*codes, *names)}
_NAMES = {codes[0]: names[0] for codes, names in _entries()}
_RIGHT_TO_LEFT = frozenset(("ar", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"))
_VARIANTS = {"hans": "simplified", "hant": "traditional"}
# Chinese is written in two ways, which mBART, browsers and others name by places.
_SCRIPTS = {"cn": "hans", "sg": "hans", "my": "hans", "tw": "hant", "hk": "hant", "mo": "hant"}


def english_name(code: str) -> str:
    """With the variant behind it, where the code names one; a code that is unknown is itself."""
    language, variant = language_and_variant(code)
    name = _NAMES.get(language, code)
    if not variant or name == code:
        return name
    return f"{name} ({_VARIANTS.get(variant) or (variant.upper() if len(variant) == 2 else variant.title())})"


def direction(code: str) -> Literal["ltr", "rtl"]:
    """In which the language is mostly written, as HTML and others call it."""
    return "rtl" if language_and_variant(code)[0] in _RIGHT_TO_LEFT else "ltr"


def language_and_variant(asked: str) -> tuple[str, str]:
    """What is asked for by a code or a name, in any case: `fr_CA` is `("fr", "ca")`, `fra` and `French` `("fr", "")`.

    The variant is a script, a region or both. Nothing is refused: what is unknown is itself.
    """
    return _parsed(asked[:LONGEST])


@lru_cache(maxsize=4096)
def _parsed(asked: str) -> tuple[str, str]:
    asked = " ".join(asked.split()).casefold()
    if asked in _LANGUAGES:
        return _LANGUAGES[asked], ""
    code, *rest = re.split("[-_]", asked)
    language = _LANGUAGES.get(code, code)
    if language == "zh":
        rest = [_SCRIPTS.get(part, part) for part in rest[:1]]
    return language, "-".join(rest)
