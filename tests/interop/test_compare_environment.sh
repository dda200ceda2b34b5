#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# PermitUserEnvironment and RequiredRSASize, through our server and through a stock sshd on the same machine.
. "$WARREN_SRC/tests/interop/lib_compare.sh"
account files 2012 /bin/bash '*' ''
mkdir -p $deploy/.ssh home/files/.ssh
cat >$deploy/.ssh/environment <<'X'
# a comment
FROM_FILE=it has "blanks" = and more

  INDENTED=yes
PATH=/somewhere:/usr/bin:/bin
LC_FILE=file
SECOND=file
no assignment
LAST=without a newline
X
truncate -s -1 $deploy/.ssh/environment
chown -R 2001:2001 $deploy/.ssh
key=$(cat id.pub)
echo "environment=\"FROM_KEY=a key\",environment=\"SECOND=key\",environment=\"LC_KEY=key\" $key" >keys
wanted='env | grep -E "^(FROM_|INDENTED|PATH|LC_KEY|LC_FILE|SECOND|LAST|A)" | sort'

echo "# no, which is the default"
servers <<<'MaxSessions 10'
same '' "$wanted"
! grep -q FROM_ ours.out; ok "  nothing of it"

echo "# yes"
servers <<<'PermitUserEnvironment yes
SetEnv LAST=of-the-configuration'
same '' "$wanted"
grep -q 'FROM_FILE=it has "blanks" = and more' ours.out && grep -q FROM_KEY ours.out; ok "  all of it"
same -tt "$wanted"
same '' 'echo $0; true' 'echo $FROM_FILE'
mv $deploy/.ssh/environment $deploy/.ssh/put-away
same '' "$wanted" '' 'no file'
mkfifo $deploy/.ssh/environment
LIMIT=5 run ours '' 'echo through'
is "a pipe in its place keeps nobody waiting" "through 0" "$(cat ours.out ours.status | xargs)"
rm $deploy/.ssh/environment
ln -s /etc/shadow $deploy/.ssh/environment
run ours '' "$wanted"; ! grep -q 'shadow\|Bad line' ours.err; ok "a link to what the user cannot read"
rm $deploy/.ssh/environment; mv $deploy/.ssh/put-away $deploy/.ssh/environment

echo "# names"
servers <<<'PermitUserEnvironment LC_*,SECOND,!LC_FILE'
same '' "$wanted"
is "  these" "LC_KEY SECOND" "$(grep -oE '^(LC_KEY|LC_FILE|SECOND|FROM_[A-Z]*|LAST)' ours.out | xargs)"

echo "# not where somebody else says what runs"
echo "command=\"env\",environment=\"FROM_KEY=a key\" $key" >keys
servers <<<'PermitUserEnvironment yes'
run ours '' whatever
! grep -q FROM_ ours.out && grep -q '^HOME=' ours.out; ok "a forced command"
echo "$key" >keys
echo "LD_PRELOAD=$base/loaded.so" | tee $deploy/.ssh/environment >home/files/.ssh/environment
cat >loaded.c <<'X'
#include <fcntl.h>
__attribute__((constructor)) static void mark(void) { creat("/mnt/compare/mark/loaded", 0600); }
X
"${CC:-cc}" -shared -fPIC -o loaded.so loaded.c || exit 1
mkdir mark && chmod 1777 mark
servers <<<'PermitUserEnvironment yes'
rm -f mark/loaded
run ours '' true
[[ -e mark/loaded ]]; ok "LD_PRELOAD works where it is the user's own business"
rm -f mark/loaded
printf 'Match User files\nForceCommand internal-sftp\n' >>conf
echo 'ls -a' >batch
sftp -q -b batch -F ssh -o User=files ours >ours.out 2>&1
is "files only: they are there" 0 $?
[[ ! -e mark/loaded ]]; ok "  and nothing was loaded"
rm -f $deploy/.ssh/environment

echo "# RequiredRSASize"
ssh-keygen -q -t rsa -b 2048 -N '' -f rsa2048 && ssh-keygen -q -t rsa -b 3072 -N '' -f rsa3072
cat id.pub rsa2048.pub rsa3072.pub >keys
rsa() { # NAME EXPECTED STATUS: with our server and a stock one
	for which in ours stock; do
		ssh -F none -p $([[ $which == ours ]] && echo 2301 || echo 2302) -i "$1" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
			-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR deploy@127.0.0.1 true >$which.out 2>$which.err
		is "$1: $which" "$2" $?
	done
}
servers <<<'RequiredRSASize 3072'
rsa rsa2048 255
rsa rsa3072 0
servers <<<'MaxSessions 10'
rsa rsa2048 0
finished
