# What tests/net/test_openwrt.py has instead of OpenWrt's /lib/functions.sh and procd's functions. It is
# not theirs: it does what packaging/openwrt needs of them, and notes in $SAID what procd and logger would
# hear, a call a line, words parted by tabs.
# shellcheck shell=dash

config_cb() { :; }
option_cb() { :; }
list_cb() { :; }

# A UCI file as `uci export` prints it is a shell's, too: config, option and list are commands.
config_load() {
	# shellcheck disable=SC1090 # made by the test
	. "/etc/config/$1"
}

config() { config_cb "$@"; }
option() { option_cb "$@"; }
list() { list_cb "$@"; }

get_bool() {
	case $1 in
	1 | on | true | yes | enabled) echo 1 ;;
	0 | off | false | no | disabled) echo 0 ;;
	*) echo "$2" ;;
	esac
}

say() {
	printf '%s\t' "$@" | sed 's/\t$//' >>"$SAID"
	echo >>"$SAID"
}

for name in procd_open_service procd_close_service procd_open_instance procd_close_instance procd_set_param \
	procd_add_reload_trigger procd_kill logger; do
	eval "$name() { say $name \"\$@\"; }"
done
