#!/bin/sh
# The guest's first process: loads the drivers of its disks, mounts them and hands over to systemd.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
# insmod returns when the driver has found its disks, so they are there.
$b mount -t ext4 -o rw,noatime /dev/vda /newroot || $b poweroff -f
$b mount -t ext4 -o ro /dev/vdb /newroot/usr/lib/modules
$b mount --move /proc /newroot/proc
$b mount --move /sys /newroot/sys
$b mount --move /dev /newroot/dev
exec $b switch_root /newroot /sbin/init
