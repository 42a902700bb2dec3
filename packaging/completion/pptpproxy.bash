# shellcheck shell=bash
# bash completion for pptpproxy(8). Options, and what their values are, are read from --help, so there is no second list.

# What --help has behind an option: "FILE", "all|any"; nothing where it takes no value.
_pptpproxy_value() {
	LC_ALL=C "$1" --help 2>/dev/null |
		sed -nE "s/^  .*($2|$2, --[A-Za-z-]+) ([^ ]+)( [^ ]+)?  .*/\2/p"
}

_pptpproxy() {
	# shellcheck disable=SC2034 # what _init_completion sets
	local cur prev words cword split known=() value=
	_init_completion -s || return

	if [[ $prev =~ ^--?[A-Za-z-]+$ ]]; then
		value=$(_pptpproxy_value "$1" "$prev")
	fi
	case $prev in
	-x | --aclCmd | --acl-cmd)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		return
		;;
	--fastpath)
		value='off|auto|native|generic'
		;;
	--show)
		value='calls|pairs|totals'
		;;
	--fastpath-interface)
		_available_interfaces -a
		return
		;;
	--user)
		mapfile -t COMPREPLY < <(compgen -u -- "$cur")
		return
		;;
	esac
	case $value in
	FILE*)
		_filedir
		;;
	*'|'*)
		# What is in capitals stands for something.
		for value in ${value//|/ }; do
			[[ $value != *[[:lower:]]* ]] || known+=("$value")
		done
		mapfile -t COMPREPLY < <(compgen -W "${known[*]}" -- "$cur")
		;;
	?*)
		: # a number, an address: nothing that could be known
		;;
	*)
		$split || mapfile -t COMPREPLY < <(compgen -W "$(_parse_help "$1")" -- "$cur")
		;;
	esac
} &&
	complete -F _pptpproxy pptpproxy
