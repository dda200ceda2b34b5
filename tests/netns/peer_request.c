/* SPDX-License-Identifier: Apache-2.0
 *
 * A request of an enrolled machine, for tests that send what warrend never would
 * (control/PROTOCOL.md sections 2 and 4). Reads the keys from warrend's state, writes the body to
 * FILE and the header lines to standard output, for curl --data-binary @FILE -H @-.
 *
 *   peer_request sign STATE-DIR HOST:PORT METHOD PATH PEER-ID FILE           signs the body in FILE
 *   peer_request enroll STATE-DIR HOST:PORT ENROLL-KEY HOSTNAME TOKEN FILE   a login enrols these
 * keys; workload:TOKEN is a workload's
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "control/proto/httpsig.h"
#include "daemon/state_file.h"
#include "platform/buffer.h"
#include "platform/clock.h"
#include "platform/encode.h"
#include "platform/file.h"
#include "platform/secret.h"

static json_t *encoded(const uint8_t key[32])
{
	char text[ENCODE_BASE64URL_SIZE(32)];

	encode_base64url(text, key, 32);
	return json_string(text);
}

static json_t *proof(const struct state_keys *k, const uint8_t secret[32],
		     const uint8_t public_key[32], const uint8_t enroll_key[32])
{
	static const char label[] = "warren enroll v1";
	crypto_generichash_state state;
	uint8_t shared[32], hash[32];

	if (crypto_scalarmult(shared, secret, enroll_key) != 0)
		return NULL;
	crypto_generichash_init(&state, shared, 32, 32);
	crypto_generichash_update(&state, (const uint8_t *)label, sizeof(label) - 1);
	crypto_generichash_update(&state, public_key, 32);
	crypto_generichash_update(&state, k->identity_public, 32);
	crypto_generichash_final(&state, hash, 32);
	return encoded(hash);
}

static int write_enrolment(const struct state_keys *k, char **argv)
{
	uint8_t server[32];
	json_t *body;
	int r = encode_base64url_exact(server, 32, argv[0]);

	if (r < 0)
		return r;
	const bool workload = strncmp(argv[2], "workload:", 9) == 0;

	body = json_pack("{s:s, s:o, s:o, s:o, s:[], s:s, s:s, s:{s:b, s:i, s:[]}, s:o, s:o, s:s}",
			 "hostname", argv[1], "node_key", encoded(k->node_public), "path_key",
			 encoded(k->path_public), "identity_key", encoded(k->identity_public),
			 "host_keys", "os", "Linux", "version", "test", "ssh", "advertised", 0,
			 "port", 22, "features", "proof_node",
			 proof(k, k->node_secret, k->node_public, server), "proof_path",
			 proof(k, k->path_secret, k->path_public, server), workload ? "workload_token" : "id_token",
			 workload ? argv[2] + 9 : argv[2]);
	r = body == NULL ? -EINVAL : json_dump_file(body, argv[3], JSON_COMPACT);
	json_decref(body);
	return r;
}

static int print_signature(const struct state_keys *k, struct httpsig_message *m, const char *peer,
			   const char *file)
{
	char keyid[8 + ENCODE_BASE64URL_SIZE(32)] = "ik_";
	const struct httpsig_key key = {'w', peer != NULL ? peer : keyid, k->identity_secret};
	struct httpsig_headers h;
	struct buffer body;
	uint8_t nonce[16];
	int r;

	encode_base64url(keyid + 3, k->identity_public, 32);
	buffer_init(&body, 1u << 20);
	r = file_read(file, &body);
	if (r == 0) {
		m->body = body.data;
		m->body_len = body.len;
		randombytes_buf(nonce, sizeof(nonce));
		r = httpsig_sign(m, &key, 1, (int64_t)time(NULL), nonce, &h);
	}
	if (r == 0)
		printf("%s\n%s\n%s\n", h.digest, h.input, h.signature);
	buffer_done(&body);
	return r;
}

int main(int argc, char **argv)
{
	struct httpsig_message m = {.method = "POST", .path = "/v1/enroll"};
	struct state_keys *keys = NULL;
	struct error err = {0};
	bool enroll = argc == 8 && strcmp(argv[1], "enroll") == 0;
	char folder[300];
	int dir, r;

	if (argc != 8 || (!enroll && strcmp(argv[1], "sign") != 0) || sodium_init() < 0)
		return 2;
	snprintf(folder, sizeof(folder), "%s/main", argv[2]);
	dir = open(folder, O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : state_file_keys(dir, &random_system, &keys, &err);
	m.authority = argv[3];
	if (r == 0 && enroll) {
		r = write_enrolment(keys, argv + 4);
	} else if (r == 0) {
		m.method = argv[4];
		m.path = argv[5];
	}
	if (r == 0)
		r = print_signature(keys, &m, enroll ? NULL : argv[6], argv[7]);
	secret_free(keys);
	if (dir >= 0)
		close(dir);
	if (r < 0)
		fprintf(stderr, "peer_request: %s %s\n", strerror(-r), error_text(&err));
	return r < 0;
}
