#!/bin/sh
# All that runs in the arm64 guest before carob's tests. It runs twice: the kernel starts it on its first file system,
# from which no container can pivot; it moves everything to another one and starts there again.
export PATH=/bin
b=/bin/busybox
if [ "$1" != moved ]; then
	$b mount -t devtmpfs dev /dev
	$b mount -t tmpfs -o mode=755 root /newroot
	$b cp -a /bin /modules /payload /init /newroot/
	cd /newroot
	$b mkdir -p dev etc proc root run sys tmp usr/local/bin var/lib var/log
	$b mount --move /dev /newroot/dev
	exec $b switch_root /newroot /init moved <dev/console >dev/console 2>&1
fi
$b --install -s /bin
ln -s /payload/bin/carob /usr/local/bin/carob
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
for module in /modules/*; do insmod $module; done
ip link set lo up
# The driver finds the channel in its own time.
until [ -c /dev/vport0p1 ]; do usleep 10000; done
exec 3<>/dev/vport0p1
echo '{"ready":true}' >&3
read -r go seconds seed words <&3
date -s "@$seconds" >/dev/null
echo "$seed" >/dev/urandom
/payload/bin/carob-tests $words >&3 3>&-
poweroff -f
