//! The image catalogue: Debian archives, .deb packages, initramfs, cache.
