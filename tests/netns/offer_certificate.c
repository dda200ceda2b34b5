/* SPDX-License-Identifier: Apache-2.0
 *
 * offer_certificate ADDRESS USER KEY CERTIFICATE: logs in with a certificate of any kind, also those
 * that OpenSSH's client would not show (a host's). Exit status 0: let in, 1: refused, 2: no answer.
 */
#include <libssh/libssh.h>
#include <stdbool.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	ssh_session session = ssh_new();
	ssh_key key = NULL, cert = NULL;
	long limit_s = 10;
	int verbosity = SSH_LOG_NOLOG, rc;
	bool off = false;

	if (argc != 5 || session == NULL ||
	    ssh_pki_import_privkey_file(argv[3], NULL, NULL, NULL, &key) != SSH_OK ||
	    ssh_pki_import_cert_file(argv[4], &cert) != SSH_OK ||
	    ssh_pki_copy_cert_to_privkey(cert, key) != SSH_OK)
		return 2;
	ssh_options_set(session, SSH_OPTIONS_HOST, argv[1]);
	ssh_options_set(session, SSH_OPTIONS_USER, argv[2]);
	ssh_options_set(session, SSH_OPTIONS_TIMEOUT, &limit_s);
	ssh_options_set(session, SSH_OPTIONS_LOG_VERBOSITY, &verbosity);
	ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &off);
	if (ssh_connect(session) != SSH_OK) {
		fprintf(stderr, "%s\n", ssh_get_error(session));
		return 2;
	}
	rc = ssh_userauth_publickey(session, NULL, key);
	ssh_disconnect(session);
	ssh_free(session);
	ssh_key_free(key);
	ssh_key_free(cert);
	return rc == SSH_AUTH_SUCCESS ? 0 : rc == SSH_AUTH_DENIED || rc == SSH_AUTH_PARTIAL ? 1 : 2;
}
