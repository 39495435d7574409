"""/deepl/v2, which is also /v2: what DeepL's clients ask, answered in its shapes."""
