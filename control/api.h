/* SPDX-License-Identifier: Apache-2.0
 *
 * The API of peers (control/PROTOCOL.md sections 1 to 5) and, on the admin socket, of
 * administrators.
 */
#ifndef WARREN_CONTROL_API_H
#define WARREN_CONTROL_API_H

#include "control/control.h"
#include "control/proto/httpsig.h"

struct api;

/* Adds the routes of peers. spki: base64 SHA-256 of the SubjectPublicKeyInfo of the certificate in
 * use. */
int api_new(struct control *c, const char *spki, struct api **ret_api,
	    struct error *err) WARREN_MUST_USE;
void api_free(struct api *a);

/* ---- shared by api*.c and admin.c */

/* The body as a JSON object with only these keys (NULL-terminated); otherwise NULL and the error
 * has been answered. */
json_t *api_body(struct server_request *r, const char *const *keys);
/* Reads one label of the request's signature; 0, or 401 has been answered. */
int api_signature(struct server_request *r, char label,
		  struct httpsig_parsed *ret_parsed) WARREN_MUST_USE;
/* Verifies that label with the key; otherwise 401 has been answered. */
int api_verify(struct server_request *r, char label, const uint8_t key[32]) WARREN_MUST_USE;
/* Judges the time of a request whose signature held; otherwise 401 has been answered. */
int api_check_time(struct control *c, struct server_request *r, int64_t created_s) WARREN_MUST_USE;
/* Remembers the nonce of a mutating request; otherwise 409 has been answered. */
int api_take_nonce(struct control *c, struct server_request *r, const char *nonce,
		   bool durable) WARREN_MUST_USE;
/* An array of texts out of obj as JSON text into out[cap]; absent: leaves out. Sentence in err. */
int api_text_array(const json_t *obj, const char *key, size_t max, size_t max_text, char *out,
		   size_t cap, struct error *err) WARREN_MUST_USE;
/* host_keys: public keys of OpenSSH, each well-formed. */
int api_host_keys(const json_t *obj, char *out, size_t cap, struct error *err) WARREN_MUST_USE;

struct store_peer;
/* "ssh": {"advertised", "port", "features"} of a body into the row, where present. */
int api_ssh(const json_t *obj, struct store_peer *row, struct error *err) WARREN_MUST_USE;

/* A request that is answered later: the slot's request becomes NULL when the client goes away. */
struct api_wait {
	struct server_request *request;
	struct control *c;
};
struct api_wait *api_wait_new(struct control *c, struct server_request *r);
/* The request to answer, or NULL; frees the wait. */
struct server_request *api_wait_end(struct api_wait *w);

/* api_enroll.c */
int api_enroll_routes(struct control *c) WARREN_MUST_USE;
/* api_stream.c */
int api_stream_routes(struct control *c) WARREN_MUST_USE;
/* admin.c: routes of the admin socket (users are the issuer's) */
int admin_routes(struct control *c) WARREN_MUST_USE;
/* admin_cutoff.c: blocked identities, certificates */
int admin_cutoff_routes(struct control *c) WARREN_MUST_USE;

#endif
