/* SPDX-License-Identifier: Apache-2.0
 *
 * warren-ssh: one SSH connection for `warren ssh` where there is no OpenSSH. `warren ssh` logs in,
 * writes key, certificate and host keys, connects, and executes this program with the connection as
 * a descriptor; it runs as the user, and knows no daemon.
 */
#ifndef WARREN_SSH_CLIENT_H
#define WARREN_SSH_CLIENT_H

/* warren-ssh --connection=FD --name=NAME --host-keys=FILE [--key=FILE] [flags] host [command].
 * Returns the command's exit status, or 255. */
int client_main(int argc, char **argv);

#endif
