#!/bin/sh
# What busybox's udhcpc calls with what it learned: $1 says what happened.

case $1 in
deconfig)
    ip addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip addr replace "$ip/${mask:-24}" dev "$interface"
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface" && break
    done
    [ -n "$hostname" ] && echo "$hostname" > /proc/sys/kernel/hostname
    {
        [ -n "$domain" ] && echo "search $domain"
        for server in $dns; do
            echo "nameserver $server"
        done
    } > /etc/resolv.conf
    ;;
esac
