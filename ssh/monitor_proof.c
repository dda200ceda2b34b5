/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client's proof of its key has to be (RFC 4252 section 7), as the monitor asks it. Ed25519
 * is verified here. Numbers and points of other keys are OpenSSL's to read: in a short-lived
 * process without rights (worker_verify.c), so that neither OpenSSL's code nor its memory is in the
 * monitor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/unixsock.h"
#include "ssh/monitor.h"

#define USERAUTH_REQUEST 50
#define ED25519		 "ssh-ed25519-cert-v01@openssh.com"
#define ED25519_PLAIN	 "ssh-ed25519"

static const char *const names[] = {
	ED25519,
	"ecdsa-sha2-nistp256-cert-v01@openssh.com",
	"ecdsa-sha2-nistp384-cert-v01@openssh.com",
	"ecdsa-sha2-nistp521-cert-v01@openssh.com",
	"rsa-sha2-256-cert-v01@openssh.com",
	"rsa-sha2-512-cert-v01@openssh.com",
	/* Before the signature libssh names the key's type, which for RSA is no algorithm. */
	"ssh-rsa-cert-v01@openssh.com",
	ED25519_PLAIN,
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"rsa-sha2-256",
	"rsa-sha2-512",
	"ssh-rsa",
};

bool monitor_signature_known(const char *algorithm)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], algorithm) == 0)
			return true;
	return false;
}

bool monitor_signature_certificate(const uint8_t *blob, size_t len)
{
	static const char suffix[] = "-cert-v01@openssh.com";
	struct reader r = reader_init(blob, len);
	char type[64];
	size_t at;

	reader_cstring(&r, type, sizeof(type));
	at = strlen(type);
	return !r.failed && at > sizeof(suffix) - 1 &&
	       strcmp(type + at - (sizeof(suffix) - 1), suffix) == 0;
}

bool monitor_signature_data(const uint8_t *data, size_t len, const uint8_t *session_id,
			    size_t session_id_len, const char *login, const char *algorithm,
			    const uint8_t *blob, size_t blob_len)
{
	uint8_t *expected = malloc(MONITOR_WIRE_MAX);
	struct writer w;
	bool equal;

	if (expected == NULL || session_id_len == 0) {
		free(expected);
		return false;
	}
	w = writer_init(expected, MONITOR_WIRE_MAX);
	writer_string(&w, session_id, session_id_len);
	writer_u8(&w, USERAUTH_REQUEST);
	writer_cstring(&w, login);
	writer_cstring(&w, "ssh-connection");
	writer_cstring(&w, "publickey");
	writer_u8(&w, 1);
	writer_cstring(&w, algorithm);
	writer_string(&w, blob, blob_len);
	equal = !w.failed && w.len == len && memcmp(expected, data, len) == 0;
	free(expected);
	return equal;
}

static bool verify_ed25519(const struct monitor_proof *p)
{
	struct reader r = reader_init(p->subject, p->subject_len);
	char type[32];
	size_t len;
	const uint8_t *key;

	reader_cstring(&r, type, sizeof(type));
	key = reader_string(&r, crypto_sign_PUBLICKEYBYTES, &len);
	return reader_done(&r) && key != NULL && strcmp(type, "ssh-ed25519") == 0 &&
	       len == crypto_sign_PUBLICKEYBYTES && p->signature_len == crypto_sign_BYTES &&
	       crypto_sign_verify_detached(p->signature, p->data, p->data_len, key) == 0;
}

static _Noreturn void become_helper(const char *program, const char *mode, int fd)
{
	char *const argv[] = {(char[]){MONITOR_WORKER_PROGRAM}, strdup(mode), NULL};
	char *const envp[] = {(char[]){"LC_ALL=C.UTF-8"}, NULL};
	sigset_t none;

	answer_limit_cpu();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd == WORKER_FD_MONITOR ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, WORKER_FD_MONITOR) < 0)
		_exit(1);
	close_range(WORKER_FD_MONITOR + 1, ~0U, 0);
	close(WORKER_FD_CONNECTION);
	execve(program, argv, envp);
	_exit(1);
}

static ssize_t talk(const struct monitor *m, int fd, const uint8_t *request, size_t len,
		    uint8_t *answer)
{
	struct answer_limits limits = monitor_patience(m, 0);
	int r = unixsock_send(fd, request, len, NULL, 0);

	if (r == 0)
		r = answer_wait(fd, &limits, NULL);
	return r < 0 ? r : unixsock_recv(fd, answer, MONITOR_WIRE_MAX, NULL, NULL, MSG_DONTWAIT);
}

ssize_t monitor_helper(const struct monitor *m, const char *mode, const uint8_t *request, size_t len,
		       uint8_t *answer)
{
	char program[MONITOR_PATH_MAX];
	ssize_t n = -EAGAIN;
	int pair[2];
	pid_t pid;

	if (monitor_worker_path(program) < 0 || unixsock_pair(pair) < 0)
		return -ENOENT;
	pid = fork();
	if (pid == 0)
		become_helper(program, mode, pair[1]);
	close(pair[1]);
	if (pid > 0) {
		n = talk(m, pair[0], request, len, answer);
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	return n;
}

static bool ask_helper(const struct monitor *m, const struct monitor_proof *p)
{
	uint8_t *data = malloc(MONITOR_WIRE_MAX);
	struct writer w;
	bool good;

	if (data == NULL)
		return false;
	w = writer_init(data, MONITOR_WIRE_MAX);
	writer_cstring(&w, p->algorithm);
	writer_string(&w, p->subject, p->subject_len);
	writer_string(&w, p->signature, p->signature_len);
	writer_string(&w, p->data, p->data_len);
	good = !w.failed && monitor_helper(m, "--verify", data, w.len, data) == 1 &&
	       data[0] == MONITOR_YES;
	free(data);
	return good;
}

bool monitor_proof_verify(const struct monitor *m, const struct monitor_proof *p)
{
	if (strcmp(p->algorithm, ED25519) == 0 || strcmp(p->algorithm, ED25519_PLAIN) == 0)
		return verify_ed25519(p);
	return ask_helper(m, p);
}
