# Installs Debian on the blank disk /dev/vda, of the packages in the tar archive
# /dev/vdb. Sourced by /init as the command of `isoform run --exec`; the console is
# where it reports. A line `@@ N TITLE` says that a step begins in which dpkg does
# something N times.

exec > /dev/console 2>&1
set -eu

disk=/dev/vda
bundle=/bundle
tools=/tools
target=/mnt

step() { echo "@@ $1 $2"; }

count() { echo $(($(wc -l < "$bundle/$1") * ${2:-1})); }

# extract PACKAGE FOLDER: its files alone, without asking or telling anybody.
extract() { ar p "$bundle/debs/$1" data.tar | tar x -C "$2"; }

# in_target COMMAND...: in the new system, which knows nothing of this one.
in_target() {
    chroot "$target" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true \
        "$@"
}

# dpkg_in_target ARGUMENTS LIST: with the packages in LIST. What is lost when the
# machine stops here is lost as a whole, so nothing need be on disk at once.
dpkg_in_target() {
    in_target dpkg --force-depends --force-unsafe-io --force-confold "$1" \
        $(sed 's,^,/run/isoform/debs/,' "$bundle/$2")
}

# --- the disk -----------------------------------------------------------------

# Programs for file systems, in a place of their own: they want Debian's libraries.
prepare_tools() {
    for folder in bin lib sbin; do
        mkdir -p "$tools/usr/$folder"
        ln -s "usr/$folder" "$tools/$folder"
    done
    mkdir -p "$tools/dev" "$tools/proc" "$tools/etc"
    while read -r deb; do
        extract "$deb" "$tools"
    done < "$bundle/tools"
    mount -o bind /dev "$tools/dev"
    mount -o bind /proc "$tools/proc"
    : > "$tools/etc/mtab"
}

# An EFI system partition for firmware, and the root, which U-Boot looks for by its
# attribute and others by its type ("Linux root (RISC-V 64)").
partition() {
    chroot "$tools" sfdisk --quiet --wipe always "$disk" << END
label: gpt
size=64MiB, type=uefi, name="EFI"
type=72EC70A6-CF74-40E6-BD49-4BDA08E8F224, name="root", attrs=LegacyBIOSBootable
END
    tries=0
    until [ -b "${disk}2" ]; do
        [ $tries -lt 100 ]
        tries=$((tries + 1))
        usleep 50000
    done
    read -r root_uuid < /proc/sys/kernel/random/uuid
    serial=$(printf %.8s "$root_uuid" | tr a-f A-F)
    efi_uuid=$(printf %.4s "$serial")-${serial#????}
    chroot "$tools" mkfs.fat -F 32 -n EFI -i "$serial" "${disk}1"
    # The disk is new, so that it reads as zeros everywhere.
    chroot "$tools" mkfs.ext4 -q -L root -U "$root_uuid" \
        -E assume_storage_prezeroed=1,nodiscard "${disk}2"
    # As udev would: GRUB writes the root's UUID into its menu only where it sees it here.
    mkdir -p /dev/disk/by-uuid
    ln -s "../../${disk##*/}2" "/dev/disk/by-uuid/$root_uuid"
}

mount_target() {
    mount -t ext4 -o noatime,nobarrier,commit=600 "${disk}2" "$target"
    mkdir -p "$target/boot/efi"
    mount -t vfat "${disk}1" "$target/boot/efi"
}

# --- the system -----------------------------------------------------------------

# What has to be there before the first package is.
prepare_target() {
    while read -r deb; do
        extract "$deb" "$target"
    done < "$bundle/base"
    mkdir -p "$target/var/lib/dpkg" "$target/run/isoform" "$target/dev" "$target/proc" "$target/sys"
    : > "$target/var/lib/dpkg/status"
    : > "$target/var/lib/dpkg/available"
    [ -e "$target/usr/bin/awk" ] || ln -s mawk "$target/usr/bin/awk"
    for folder in dev dev/pts proc sys; do
        mount -o bind "/$folder" "$target/$folder"
    done
    mount -t tmpfs tmpfs "$target/run"
    mkdir "$target/run/isoform" "$target/run/lock"
    mount -o bind "$bundle" "$target/run/isoform"
    # Nothing is to be started while it is installed.
    mkdir -p "$target/usr/sbin"
    printf '#!/bin/sh\nexit 101\n' > "$target/usr/sbin/policy-rc.d"
    chmod 755 "$target/usr/sbin/policy-rc.d"
    write_identity
}

write_identity() {
    echo "$hostname" > "$target/etc/hostname"
    cat > "$target/etc/hosts" << END
127.0.0.1	localhost
127.0.1.1	$hostname
::1		localhost ip6-localhost ip6-loopback
ff02::1		ip6-allnodes
ff02::2		ip6-allrouters
END
    cat > "$target/etc/fstab" << END
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=$root_uuid / ext4 errors=remount-ro 0 1
UUID=$efi_uuid /boot/efi vfat umask=0077,nofail 0 1
END
}

install_packages() {
    # The first two make users and folders that the others' scripts expect.
    step 4 "installing the first packages"
    for first in base-passwd base-files; do
        in_target dpkg --force-depends --force-unsafe-io --install "/run/isoform/debs/$first.deb"
    done
    step "$(count base 2)" "installing the essential packages"
    dpkg_in_target --install base
    step "$(count rest)" "unpacking the other packages"
    dpkg_in_target --unpack rest
    postpone
    step "$(count rest)" "configuring them"
    in_target dpkg --force-unsafe-io --force-confold --configure --pending
    resume
    in_target dpkg --audit
    in_target apt-mark auto $(cat "$bundle/auto") > /dev/null
}

# What scripts of packages would do more than once, or what every system is to do for
# itself: done once at the end, or at the first boot.
postponed="update-initramfs update-ca-certificates"

postpone() {
    for program in $postponed; do
        program=$target/usr/sbin/$program
        mv "$program" "$program.isoform"
        printf '#!/bin/sh\nexit 0\n' > "$program"
        chmod 755 "$program"
    done
    for kind in rsa ecdsa ed25519; do
        : > "$target/etc/ssh/ssh_host_${kind}_key"
    done
}

resume() {
    for program in $postponed; do
        mv "$target/usr/sbin/$program.isoform" "$target/usr/sbin/$program"
    done
    rm -f "$target"/etc/ssh/ssh_host_*
    in_target update-ca-certificates
}

# --- its configuration ------------------------------------------------------------

configure_network() {
    mkdir -p "$target/etc/systemd/network" \
        "$target/etc/systemd/system/systemd-networkd-wait-online.service.d"
    cat > "$target/etc/systemd/network/80-ethernet.network" << END
[Match]
Type=ether

[Network]
DHCP=yes
END
    # A machine without a network card has nothing to wait for, and one with two is on
    # line by either.
    cat > "$target/etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf" << END
[Unit]
ConditionPathExistsGlob=/sys/class/net/e*

[Service]
ExecStart=
ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any
END
    in_target systemctl --quiet enable systemd-networkd systemd-resolved systemd-timesyncd
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$target/etc/resolv.conf"
}

configure_login() {
    # On the console alone: sshd lets nobody in without a key or password.
    in_target passwd --quiet --delete root
    if [ -s "$bundle/authorized_keys" ]; then
        home=$target/root
        ssh=$home/.ssh
        mkdir -p "$ssh"
        chmod 700 "$ssh"
        cp "$bundle/authorized_keys" "$ssh/authorized_keys"
        chmod 600 "$ssh/authorized_keys"
    fi
    mkdir -p "$target/etc/systemd/system/ssh.service.d"
    cat > "$target/etc/systemd/system/ssh.service.d/host-keys.conf" << END
# Keys of this system's own, made when there are none.
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
END
}

configure_apt() {
    case $mirror in
    http://* | https://*) enabled=yes ;;
    *) enabled=no ;;
    esac
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$target$keyring" ] || keyring=${keyring%.gpg}.pgp
    rm -f "$target/etc/apt/sources.list"
    mkdir -p "$target/etc/apt/sources.list.d"
    cat > "$target/etc/apt/sources.list.d/debian.sources" << END
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Enabled: $enabled
Signed-By: $keyring
END
}

# --- what boots it ------------------------------------------------------------------

# GRUB where firmware looks without being told, a menu for U-Boot, an initrd for both.
make_bootable() {
    step 0 "making the initrd"
    mkdir -p "$target/etc/initramfs-tools/conf.d"
    # Drivers for the disks of virtual machines and common boards; more are for
    # /etc/initramfs-tools/modules. Everything would be slow to make and to load.
    cat > "$target/etc/initramfs-tools/conf.d/isoform" << END
MODULES=list
COMPRESS=zstd
COMPRESSLEVEL=1
END
    for module in virtio_mmio virtio_pci virtio_blk virtio_scsi virtio_net virtio_console \
        virtio_rng ext4 vfat nvme ahci sd_mod mmc_block usb_storage uas xhci_pci; do
        echo $module >> "$target/etc/initramfs-tools/modules"
    done
    in_target update-initramfs -c -k all
    step 0 "installing the boot loaders"
    mkdir -p "$target/etc/default/grub.d" "$target/etc/u-boot-menu/conf.d"
    cat > "$target/etc/default/grub.d/isoform.cfg" << END
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX="console=ttyS0"
END
    cat > "$target/etc/u-boot-menu/conf.d/isoform.conf" << END
U_BOOT_TIMEOUT="10"
U_BOOT_PARAMETERS="ro quiet console=ttyS0"
U_BOOT_ROOT="root=UUID=$root_uuid"
END
    # Upgrades of GRUB go to the same places.
    in_target debconf-set-selections << END
grub-efi-riscv64 grub2/force_efi_extra_removable boolean true
grub-efi-riscv64 grub2/update_nvram boolean false
END
    in_target grub-install --target=riscv64-efi --efi-directory=/boot/efi --no-nvram \
        --force-extra-removable
    in_target update-grub
    in_target u-boot-update
}

# --- the end --------------------------------------------------------------------------

# What a system has of its own comes into being at its first boot.
clean() {
    rm -f "$target/usr/sbin/policy-rc.d" "$target"/var/lib/dpkg/*-old \
        "$target"/var/cache/debconf/*-old "$target/var/lib/systemd/random-seed" \
        "$target/var/lib/dbus/machine-id"
    : > "$target/etc/machine-id"
    find "$target/var/log" -type f -exec truncate -s 0 {} +
}

release() {
    umount "$target/run/isoform" "$target/run" "$target/dev/pts" "$target/dev" \
        "$target/proc" "$target/sys" "$target/boot/efi"
    umount "$target"
    chroot "$tools" e2fsck -f -p "${disk}2"
}

step 0 "reading the packages"
mkdir -p "$bundle"
tar x -C "$bundle" < /dev/vdb
. "$bundle/settings"
step 0 "making file systems"
prepare_tools
partition
mount_target
step 0 "unpacking the essential packages"
prepare_target
install_packages
step 0 "configuring the system"
configure_network
configure_login
configure_apt
make_bootable
step 0 "writing the disk"
clean
release
