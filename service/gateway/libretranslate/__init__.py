"""/libretranslate: what LibreTranslate's clients and pages ask, answered in its shapes."""
