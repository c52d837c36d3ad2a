"""Texts that a spreadsheet would run, as OWASP advises against CSV injection."""

# Everything that begins so, but plain numbers.
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
NUMBER = r"^[+\-]?\d+(\.\d+)?$"
