"""`python -m submission` is `mevlip`, for places where the package lies unpacked, such as the image."""

from submission.cli import main

main()
