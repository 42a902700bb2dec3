# shellcheck shell=bash
# What tools/demo, tools/check and tools/bench share; sourced with the words of the command line.

need_root() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "$0 needs root, for raw sockets and network namespaces: sudo $0 $*" >&2
		exit 1
	fi
}

# In a chroot / may be no mount point, and ip-netns(8) wants one. Then everything runs again in a mount
# namespace of its own, with the same files seen through a mount; unless that would show outside.
need_mounted_root() {
	if mountpoint -q /; then
		return
	fi
	# shellcheck disable=SC2016 # expanded by the inner shells
	unshare --mount --propagation unchanged bash -c '
		mount --rbind / /mnt
		if nsenter --target "$1" --mount --root mountpoint -q /mnt; then
			umount --recursive /mnt
			echo "$3: / is no mount point here; for a chroot: mount --bind DIR DIR; chroot DIR" >&2
			exit 1
		fi
		mount --make-rprivate /mnt
		exec chroot /mnt bash -c "cd \"\$1\" && shift && exec \"\$@\"" bash "${@:2}"' \
		bash $$ "$PWD" "./tools/${0##*/}" "$@"
	exit
}

# Whose the tree is: what root builds there its owner could not build again.
as_owner() {
	local user group
	user=$(stat -c %u .)
	group=$(stat -c %g .)
	if [ "$user" -eq 0 ] || { [ -e build ] && [ "$(stat -c %u build)" -ne "$user" ]; }; then
		"$@"
	else
		setpriv --reuid="$user" --regid="$group" --clear-groups "$@"
	fi
}

# Installing and building say nothing unless they fail.
quietly() {
	local said
	if ! said=$("$@" 2>&1); then
		printf '%s\n' "$said" >&2
		echo "$0: failed: $*" >&2
		exit 1
	fi
}
