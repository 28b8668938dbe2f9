"""`python -m mevlip` is `mevlip`, for places where the package lies unpacked, such as the image."""

from mevlip.cli.main import main

main()
