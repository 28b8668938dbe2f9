"""Names of the image's labels that record what it was built from; the Dockerfile sets them."""

VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
CHECKPOINT = "org.me-vlip.checkpoint"
CUDA = "org.me-vlip.cuda"
LOCK = "org.me-vlip.lock-sha256"
