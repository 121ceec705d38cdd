"""A QR code as markup: a page's policy allows no style, and the code may be in no address."""

import segno
from django.utils.safestring import SafeString

MODULE = 5  # pixels
QUIET = 4  # modules around it (ISO/IEC 18004 section 9.1)


def svg(text: str, *, title: str) -> SafeString:
    """Return an inline SVG, dark on light whatever the page is; `text` is not in its markup."""
    code = segno.make(text, error="m", micro=False)
    return SafeString(
        code.svg_inline(scale=MODULE, border=QUIET, dark="#000", light="#fff", title=title)
    )
