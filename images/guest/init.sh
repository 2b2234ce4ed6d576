#!/bin/busybox sh
# The first process of an Isoform guest: prepares a Debian kernel's user space
# from busybox alone, then runs a command, a root file system or a shell.
#
# Kernel command line: root=, rootfstype=, rootflags=, rootdelay=, ro, rw, init=
# mean what they mean to Debian's own initramfs.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root

# A process costs milliseconds under emulation, so one does the work of many where
# it can, and what the shell can do itself it does.
prepare() {
    # /etc/fstab lists them; CONFIG_DEVTMPFS_MOUNT is off in Debian's kernels, so
    # /dev is among them.
    /bin/busybox mount -a
    /bin/busybox --install -s /bin
    # What udev or devtmpfs itself would add: fd, stdin, stdout, stderr.
    cp -a /lib/isoform/dev/. /dev
    mount -a -T /lib/isoform/fstab.dev
    echo isoform > /proc/sys/kernel/hostname
    ip link set lo up
}

# Drivers for the virtio devices and NVMe controllers that are there, and no others:
# loading is a good part of the boot.
coldplug() {
    modprobe -q virtio_mmio
    virtio= nvme=
    for device in /sys/bus/pci/devices/*; do
        [ -r "$device/vendor" ] && read -r vendor < "$device/vendor" || continue
        read -r class < "$device/class"
        [ "$vendor" = 0x1af4 ] && virtio=virtio_pci
        [ "$class" = 0x010802 ] && nvme=nvme
    done
    [ -n "$virtio$nvme" ] && modprobe -q -a $virtio $nvme
    aliases=
    for device in /sys/bus/virtio/devices/*/modalias; do
        [ -r "$device" ] && read -r alias < "$device" && aliases="$aliases $alias"
    done
    [ -n "$aliases" ] && modprobe -q -a $aliases
}

power_off() {
    # Writes dirty pages back itself.
    poweroff -f
    # Where the platform has no power switch, at least nothing runs on.
    while :; do sleep 3600; done
}

# An address for each network card, where its network gives one.
connect() {
    for card in /sys/class/net/eth*; do
        [ -e "$card" ] || continue
        modprobe -q af_packet
        udhcpc -q -n -t 5 -T 1 -S -i "${card##*/}" -s /lib/isoform/udhcpc > /dev/null 2>&1
    done
}

# --- a command for `isoform run --exec` -----------------------------------

# find_port NAME: sets `port` to the device node of the virtio console port called
# NAME. The ports are announced in messages, so they may take a moment to appear.
find_port() {
    tries=0
    while [ $tries -lt 500 ]; do
        for entry in /sys/class/virtio-ports/*; do
            port=/dev/${entry##*/}
            [ -c "$port" ] && [ -r "$entry/name" ] && read -r name < "$entry/name" || continue
            [ "$name" = "$1" ] && return 0
        done
        usleep 10000
        tries=$((tries + 1))
    done
    echo "isoform: this machine has no console port $1 for --exec" > /dev/console
    power_off
}

# Whatever the command left running would keep the pipes open for ever; a
# machine that powers off waits for nobody either.
kill_others() {
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        case " 1 $* " in
        *" $process "*) ;;
        *) kill -9 "$process" ;;
        esac
    done 2>/dev/null
}

run_command() {
    # Emergencies only on the console.
    echo 1 > /proc/sys/kernel/printk
    find_port isoform.out && out=$port
    find_port isoform.err && err=$port
    find_port isoform.status && status=$port
    # A port can be opened once only, so the command gets pipes: /dev/stdout
    # and /dev/stderr work in it as anywhere. They came with the command.
    cat < /isoform/out > "$out" &
    out_copier=$!
    cat < /isoform/err > "$err" &
    err_copier=$!
    cd /root || cd /
    # Sourced, not `sh FILE`: $0 and messages are those of `sh -c`.
    # In parentheses, so that this shell's own "Killed" stays out of the channel.
    (exec setsid sh -c '. /isoform/exec' sh < /dev/null > /isoform/out 2> /isoform/err)
    code=$?
    kill_others "$out_copier" "$err_copier"
    wait "$out_copier" "$err_copier"
    echo "$code" > "$status"
    power_off
}

# --- a root file system on a disk -----------------------------------------

root= rootfstype= rootflags= rootdelay=0 rootmode=ro init=/sbin/init

read_command_line() {
    # A guest's arguments are words; quoted ones are not for us.
    set -f
    for word in $(cat /proc/cmdline); do
        case $word in
        root=*) root=${word#root=} ;;
        rootfstype=*) rootfstype=${word#rootfstype=} ;;
        rootflags=*) rootflags=${word#rootflags=} ;;
        rootdelay=*) rootdelay=${word#rootdelay=} ;;
        init=*) init=${word#init=} ;;
        ro | rw) rootmode=$word ;;
        esac
    done
    set +f
}

find_root() {
    case $root in
    LABEL=* | UUID=*) device=$(findfs "$root") ;;
    *) device=$root ;;
    esac
    [ -b "$device" ]
}

mount_root() {
    tries=0
    until find_root; do
        [ $tries -ge $((100 + rootdelay * 10)) ] && return 1
        usleep 100000
        tries=$((tries + 1))
    done
    modprobe -q "${rootfstype:-ext4}"
    mkdir -p /newroot
    mount ${rootfstype:+-t "$rootfstype"} -o "$rootmode${rootflags:+,$rootflags}" "$device" /newroot
}

switch_to_root() {
    if ! mount_root; then
        echo "isoform: cannot mount root=$root; block devices:" $(ls /sys/class/block)
        return 1
    fi
    if [ ! -x "/newroot$init" ] && [ ! -L "/newroot$init" ]; then
        echo "isoform: root=$root has no $init"
        return 1
    fi
    umount /tmp
    for place in dev proc sys run; do
        mount -o move "/$place" "/newroot/$place"
    done
    exec switch_root -c /dev/console /newroot "$init"
}

# --- a shell ----------------------------------------------------------------

interactive_shell() {
    cat << END

$(cat /etc/isoform-release), Linux $(uname -r) on $(nproc) x $(uname -m)
\`exit\` or Ctrl-D powers the machine off.
END
    cd /root || cd /
    # A controlling terminal, so that Ctrl-C and job control work.
    setsid cttyhack sh -l
}

prepare
coldplug
connect
[ -e /isoform/exec ] && run_command
read_command_line
[ -n "$root" ] && switch_to_root
interactive_shell
power_off
