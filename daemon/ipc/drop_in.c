/* SPDX-License-Identifier: Apache-2.0
 *
 * What ssh reads of us: one text for the command line, which writes the drop-in, and for the
 * broker, which writes the names of peers.
 */
#include "daemon/ipc/drop_in.h"

#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/ipc/ipc.h"
#include "platform/encode.h"

#define NAMES "/run/warren/ssh_names"

int drop_in_block(struct buffer *out, const char *self, const char *hosts)
{
	return buffer_printf(out,
			     "Match %s%s%sexec \"%s openssh detect %%h %%p %%r %%C\"\n"
			     "  ProxyUseFdpass yes\n"
			     "  ProxyCommand %s openssh proxy %%h %%p %%r\n"
			     "  IdentityFile /run/warren/u/%%i/%%C\n"
			     "  CertificateFile /run/warren/u/%%i/%%C-cert.pub\n"
			     "  UserKnownHostsFile /run/warren/u/%%i/%%C.hosts\n"
			     "  GlobalKnownHostsFile none\n"
			     "  StrictHostKeyChecking yes\n",
			     *hosts ? "host " : "", hosts, *hosts ? " " : "", self, self);
}

void drop_in_names_path(const char *socket_path, char out[static DROP_IN_NAMES_CAP])
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	char text[ENCODE_HEX_SIZE(sizeof(hash))];

	if (strcmp(socket_path, IPC_DEFAULT_SOCKET) == 0) {
		snprintf(out, DROP_IN_NAMES_CAP, NAMES ".conf");
		return;
	}
	/* Several daemons on one machine (labs, tests). */
	(void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)socket_path,
				 strlen(socket_path), NULL, 0);
	encode_hex(text, hash, sizeof(hash));
	snprintf(out, DROP_IN_NAMES_CAP, NAMES "-%.16s.conf", text);
}
