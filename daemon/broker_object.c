/* SPDX-License-Identifier: Apache-2.0
 *
 * Signed objects of type "ssh": main offers one, a verifier process judges it, and only its fixed
 * answer is read here. The highest sequence is on disk before an object is in force.
 */
#include "daemon/broker_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/signed.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/unixsock.h"
#include "ssh/wire/ssh_wire.h"

enum { VERIFY_MS = 10000 };

static void start_next(struct broker *b);

/* The maker must not be able to change what was judged. */
static int check_memfd(int fd, struct error *err)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted)
		return error_set(err, -EPERM, "the SSH permissions are not in a sealed memfd");
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > SIGNED_MAX_BYTES)
		return error_set(err, -EMSGSIZE, "the SSH permissions have an impossible size");
	return 0;
}

static int request_memfd(const struct broker *b, int *ret_fd)
{
	const struct switches_pin *pin = &b->state.pin;
	struct verifier_request request = {
		.min_seq = switches_seq(&b->state.sequences, pin->network),
	};

	memcpy(request.signing_key, pin->signing_key, sizeof(request.signing_key));
	memcpy(request.network, pin->network, sizeof(request.network));
	memcpy(request.peer_id, pin->peer_id, sizeof(request.peer_id));
	return broker_memfd("warren-verify", &request, sizeof(request), ret_fd);
}

/* Takes object. */
static int start(struct broker *b, int object, uint32_t request, struct error *err)
{
	static char name[] = "warrend", role[] = "--role", verifier[] = "verifier";
	char *const argv[] = {name, role, verifier, NULL};
	struct broker_verification *v = &b->ssh.verification;
	int copy = -1, params = -1, answer[2] = {-1, -1};
	int rc = 0;

	if (!b->state.pin.set)
		rc = error_set(err, -EPERM, "no control server is pinned yet");
	if (rc == 0)
		rc = check_memfd(object, err);
	if (rc == 0) {
		rc = broker_reopen(object, &copy);
		if (rc == 0)
			rc = request_memfd(b, &params);
		if (rc == 0 && pipe2(answer, O_CLOEXEC) < 0)
			rc = -errno;
		if (rc == 0)
			rc = broker_spawn("/proc/self/exe", argv,
					  (const int[]){copy, params, answer[1]}, 3, true, &v->pid);
		if (rc < 0)
			error_set(err, rc, "cannot start the verifier: %s", strerror(-rc));
	}
	file_close(&copy);
	file_close(&params);
	file_close(&answer[1]);
	if (rc < 0) {
		file_close(&answer[0]);
		file_close(&object);
		return rc;
	}
	v->pipe = answer[0];
	v->object = object;
	v->request = request;
	v->deadline_ns = broker_now() + VERIFY_MS * NSEC_PER_MSEC;
	return 0;
}

void broker_object_offer(struct broker *b, uint32_t request, int fd)
{
	struct broker_verification *v = &b->ssh.verification;

	if (v->next_object >= 0) {
		broker_main_reply(b, v->next_request, -ECANCELED, "a newer object came");
		file_close(&v->next_object);
	}
	v->next_object = fd;
	v->next_request = request;
	if (v->pid == 0)
		start_next(b);
}

static void start_next(struct broker *b)
{
	struct broker_verification *v = &b->ssh.verification;
	struct error err = {0};
	int object = v->next_object;

	v->next_object = -1;
	if (object >= 0 && start(b, object, v->next_request, &err) < 0)
		broker_main_reply(b, v->next_request, err.code, error_text(&err));
}

static void tell_monitors(struct broker *b)
{
	uint8_t packet[16];
	struct writer w = writer_init(packet, sizeof(packet));

	wire_begin(&w, SSH_WIRE_OBJECT, 0);
	for (struct broker_session *s = b->ssh.sessions; s; s = s->next) {
		int copy = -1;

		if (s->sock < 0)
			continue;
		/* A monitor that cannot be told what is no longer allowed must not go on. */
		if (broker_reopen(b->ssh.object, &copy) < 0 ||
		    unixsock_send(s->sock, w.data, w.len, &copy, 1) < 0)
			kill(s->pid, SIGKILL);
		file_close(&copy);
	}
}

static int put_in_force(struct broker *b, const struct verifier_answer *answer, struct error *err)
{
	struct switches_sequences sequences = b->state.sequences;
	int rc = 0;

	if (answer->seq > switches_seq(&sequences, b->state.pin.network)) {
		rc = switches_set_seq(&sequences, b->state.pin.network, answer->seq);
		if (rc == 0)
			rc = switches_save_sequences(b->root_dir, &sequences);
		if (rc < 0)
			return error_set(err, rc,
					 "cannot save the number of the SSH permissions: %s",
					 strerror(-rc));
		b->state.sequences = sequences;
	}
	file_close(&b->ssh.object);
	b->ssh.object = b->ssh.verification.object;
	b->ssh.verification.object = -1;
	b->ssh.seq = answer->seq;
	b->ssh.enabled = answer->enabled;
	tell_monitors(b);
	broker_ssh_apply(b);
	log_info("SSH permissions in force", "number=%llu enabled=%u",
		 (unsigned long long)answer->seq, answer->enabled);
	return 0;
}

bool broker_object_reaped(struct broker *b, pid_t pid, int status)
{
	struct broker_verification *v = &b->ssh.verification;
	struct verifier_answer answer;
	struct error err = {0};
	int rc;

	if (v->pid == 0 || v->pid != pid)
		return false;
	v->pid = 0;
	if (v->object < 0) /* forgotten meanwhile, and answered */
		rc = 0;
	else if (status != 0 || read(v->pipe, &answer, sizeof(answer)) != sizeof(answer) ||
		 !verifier_answer_valid(&answer))
		rc = error_set(&err, -EPROTO, "the verifier of SSH permissions failed (status %d)",
			       status);
	else if (!answer.ok)
		rc = error_set(&err, -EPERM, "%s", answer.sentence);
	else
		rc = put_in_force(b, &answer, &err);
	if (v->object >= 0 || rc == 0) {
		if (rc < 0)
			log_warn("refused SSH permissions", "reason=%s", error_text(&err));
		if (v->request != 0)
			broker_main_reply(b, v->request, rc, rc < 0 ? error_text(&err) : "");
	}
	v->request = 0;
	file_close(&v->pipe);
	file_close(&v->object);
	start_next(b);
	return true;
}

void broker_object_tick(struct broker *b, uint64_t now_ns)
{
	struct broker_verification *v = &b->ssh.verification;

	if (v->pid > 0 && now_ns >= v->deadline_ns) {
		kill(v->pid, SIGKILL);
		v->deadline_ns = UINT64_MAX;
	}
}

void broker_object_forget(struct broker *b)
{
	struct broker_verification *v = &b->ssh.verification;

	if (v->next_object >= 0)
		broker_main_reply(b, v->next_request, -ECANCELED, "this machine left the network");
	file_close(&v->next_object);
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		if (v->request != 0)
			broker_main_reply(b, v->request, -ECANCELED,
					  "this machine left the network");
		v->request = 0;
		file_close(&v->object);
	}
	file_close(&b->ssh.object);
	b->ssh.seq = 0;
	b->ssh.enabled = false;
	broker_ssh_apply(b);
}
