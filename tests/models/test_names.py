import pytest

from models.names import check_name


@pytest.mark.parametrize("name", ["a", "fr-en", "0x_1.5", "x" * 63])
def test_a_name_may_have_letters_digits_and_some_marks(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", ".a", "-a", "A", "a/b", "a\n", "é", "x" * 64])
def test_any_other_is_refused_with_the_rule(name):
    with pytest.raises(ValueError, match="is no model name: expected at most 63 lower-case letters") as refusal:
        check_name(name)
    assert repr(name) in str(refusal.value)
