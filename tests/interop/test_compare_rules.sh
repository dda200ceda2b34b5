#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Who may log in by users, groups and addresses, blocks for them, and remote forwards whose port the server
# chose, through our server and through a stock sshd on the same machine.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
account member 2021 /bin/bash '*' ''
account alone 2022 /bin/bash '*' ''
sed -i '/^wheelers:/d' /etc/group
echo "wheelers:x:2100:member" >>/etc/group # not the account's own group
only='PasswordAuthentication no
KbdInteractiveAuthentication no'
rows() { # NAME, then LOGIN STATUS …
	local name=$1
	shift
	while (($#)); do
		same "-l $1" 'id -un' '' "$name: $1"
		both_end "$2"
		shift 2
	done
}

echo "# who may"
servers <<<"$only
AllowGroups wheelers root deploy"
rows AllowGroups member 0 alone 255 deploy 0
servers <<<"$only
DenyGroups wheelers"
rows DenyGroups member 255 alone 0
servers <<<"$only
AllowUsers root deploy al*@127.0.0.0/8 member@192.0.2.0/24"
rows AllowUsers member 255 alone 0 deploy 0
servers <<<"$only
DenyUsers member@127.0.0.1 alone@192.0.2.1"
rows DenyUsers member 255 alone 0

echo "# blocks"
cat >blocks <<'X'
Match Group wheelers
SetEnv WHICH=group
ForceCommand echo "$WHICH forced for $USER"
Match User alone Address 127.0.0.0/8
ForceCommand echo alone, from here
Match Address 192.0.2.0/24
ForceCommand echo wrong
X
servers <<<"SetEnv WHICH=none
Include $dir/blocks"
for login in member alone deploy root; do
	same "-l $login" 'echo "free, $WHICH, $USER"' '' "Match: $login"
done
run ours '-l member' true
is "  a group's block was in force" "group forced for member" "$(cat ours.out)"

echo "# a port of the server's choice, and its end"
servers <<<'MaxSessions 10'
unused() { [[ -z $(ss -Hltn "sport = $1") ]]; }
for which in ours stock; do
	s() { timeout 90 ssh -F ssh -o ControlPath=$dir/p-$which "$@"; }
	s -o ControlMaster=yes -fN $which
	port=$(s -O forward -R 0:127.0.0.1:9 $which 2>&1)
	[[ $port -gt 1023 ]] && ! unused $port; ok "$which: it listens on it"
	other=$(s -O forward -R 0:127.0.0.1:10 $which 2>&1)
	s -O cancel -R 0:127.0.0.1:9 $which; is "$which: -O cancel" 0 $?
	soon unused $port; ok "$which: it is over"
	! unused $other; ok "$which: and the other one is not"
	is "$which: the connection goes on" on "$(s $which echo on)"
	s -O exit $which 2>/dev/null
	soon unused $other; ok "$which: which ends with it"
done
finished
