"""Files whose texts are translated in place. One module a format; `FORMATS` names them by the endings of files."""
