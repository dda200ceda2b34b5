/* SPDX-License-Identifier: Apache-2.0
 *
 * What `warren ssh` and the drop-in share: asking the daemon for a login on a peer, and the files
 * that stock OpenSSH reads it from.
 */
#ifndef WARREN_CLI_OPENSSH_H
#define WARREN_CLI_OPENSSH_H

#include <stdbool.h>

#include "cli/cli.h"
#include "cli/prompt.h"
#include "platform/buffer.h"

/* Environment of the ssh that `warren ssh` starts: "HOST PORT", for `detect` to leave alone, or "*"
 * for every host. */
#define OPENSSH_PREPARED "WARREN_SSH_PREPARED"

struct openssh_login {
	char fqdn[256];
	char path[320];	       /* key file; empty when there is no certificate */
	char hosts[330];       /* file of host keys */
	char addresses[2][64]; /* overlay addresses, IPv4 first */
	int address_count;
	int port;
	int early;	/* a connection on its way to addresses[0], or -1 */
	char note[512]; /* why there is no certificate; empty otherwise */
};

/* Makes a key or takes the one in use, asks for a certificate (logging in first where allowed), and
 * writes them and the target's host keys. hash: name of the files, NULL: what `detect` registered
 * for this user, host, port and login. Returns 0 or an exit code, after the sentence was printed.
 */
int openssh_prepare(const struct cli *c, const char *host, const char *port, const char *user,
		    const char *hash, bool interactive, struct prompt *prompt,
		    struct openssh_login *ret_login);

/* Where a peer is whose SSH, or that port, is not ours to serve: a login without files. Exit code,
 * after the sentence was printed. */
int openssh_find(const struct cli *c, const char *host, const char *port,
		 struct openssh_login *ret_login);
/* Is SSH on that host ours? */
bool openssh_is_ours(const struct cli *c, const char *host);

/* A connection to it: the early one, or to the addresses one after the other. -errno. */
int openssh_connect(const struct openssh_login *login, int *ret_fd) WARREN_MUST_USE;

/* Asks for the host keys of a peer and writes them to HASH.hosts in the caller's folder. -ENOENT
 * when there is no such folder yet or the map has no key. */
int openssh_write_hosts(struct ipc_client *client, const char *host, int port,
			const char *hash) WARREN_MUST_USE;

/* The folder that the broker makes for the caller's keys. */
void openssh_directory(char *out, size_t cap);

/* Appends the drop-in's text for this program at `self` and the daemon at that socket. With this
 * machine's name and overlay address in the mesh ("" where it is in none) ssh asks `detect` only for
 * names that can be a peer's, and for those without a dot only while the daemon lists them. -errno.
 */
int openssh_config_text(struct buffer *out, const char *self, const char *socket_path,
			const char *fqdn, const char *address) WARREN_MUST_USE;

#endif
