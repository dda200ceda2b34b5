/* SPDX-License-Identifier: Apache-2.0
 *
 * What the monitor of an SSH connection (warren-ssh-session) says to the broker that started it and to
 * main (ssh/PROTOCOL.md sections 1 to 3). Packets as in daemon/PROTOCOL.md: u8 type, u32 id, fields.
 */
#ifndef WARREN_SSH_WIRE_SSH_WIRE_H
#define WARREN_SSH_WIRE_SSH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/addr.h"
#include "platform/buffer.h"
#include "platform/error.h"

/* Descriptors that warren-ssh-session inherits. */
enum ssh_wire_fd {
	SSH_WIRE_FD_CONNECTION = 3, /* the accepted TCP socket */
	SSH_WIRE_FD_CONFIG = 4,     /* sealed memfd: struct ssh_wire_config by ssh_wire_config_put */
	SSH_WIRE_FD_OBJECT = 5,     /* sealed memfd: signed text of type "ssh" (control/PROTOCOL.md 6) */
	SSH_WIRE_FD_BROKER = 6,
	SSH_WIRE_FD_MAIN = 7,
	SSH_WIRE_FD_ROOT = 8, /* an empty root (platform/sandbox.h); may be missing: one is made */
};

#define SSH_WIRE_BREAK_GLASS_MAX 4
#define SSH_WIRE_REVOKED_MAX	 256

/* Given by the broker; nothing in it comes from the network or from main. */
struct ssh_wire_config {
	uint32_t session_id;
	uint8_t signing_key[32];   /* pinned key of the control server */
	char network[32];
	char peer_id[32];          /* of this machine */
	char host_name[64];        /* for messages */
	uint8_t host_key_seed[32]; /* Ed25519 seed of the SSH host key */
	uint64_t min_seq;          /* lowest "ssh" object that may be believed */
	struct endpoint client;    /* overlay address and port of the caller */
	struct endpoint server;
	bool allow_root, allow_sftp, allow_local_forward, allow_remote_forward, no_auth;
	bool tokens;               /* JWTs as passwords, where policy agrees */
	bool authorized_keys;      /* keys of ~/.ssh/authorized_keys, where policy agrees */
	bool through_mesh;         /* accepted on the SSH TUN: client is an overlay address */
	bool standalone;	   /* warren-sshd: no mesh, no object, no main; CAs below are its own */
	/* CAs that root pinned here (Ed25519), and revoked serials of theirs */
	uint32_t break_glass_count, revoked_count;
	uint8_t break_glass[SSH_WIRE_BREAK_GLASS_MAX][32];
	uint64_t revoked[SSH_WIRE_REVOKED_MAX];
	const uint8_t *sshd_config; /* of sshd_config_text; borrowed, also from what was read */
	size_t sshd_config_len;    /* 0: no configuration */
};
#define SSH_WIRE_SSHD_CONFIG_MAX (1u << 20)
void ssh_wire_config_put(struct writer *w, const struct ssh_wire_config *c);
int ssh_wire_config_get(struct reader *r, struct ssh_wire_config *ret_config) WARREN_MUST_USE;

enum ssh_wire_message {
	/* monitor to broker */
	SSH_WIRE_STATE = 1,     /* string JSON: the session for `status`; {"ended":true,…} last */
	SSH_WIRE_AUTHENTICATED = 2, /* no fields: no longer counts for MaxStartups */
	SSH_WIRE_WAITING = 3,   /* waits for a person's login: counted apart from now on */
	SSH_WIRE_AUDIT = 4,     /* an audit event, ssh_wire_audit.h */
	SSH_WIRE_KEYS = 5,      /* no fields: the first key exchange came to its signature */
	/* broker to monitor */
	SSH_WIRE_OBJECT = 16,   /* descriptor: a newer "ssh" object; judge everything again */
	SSH_WIRE_END = 17,      /* string reason for the user */
	/* monitor to main; main answers with the same id */
	SSH_WIRE_LOGIN_START = 32,  /* string login, string session hash (hex SHA-256), string caller address */
	SSH_WIRE_LOGIN_URL = 33,    /* main: string url, u64 expires */
	SSH_WIRE_LOGIN_DONE = 34,   /* main: u8 0 granted / 1 refused, string message for the person,
				     * string grant (signed text, empty when refused) */
	SSH_WIRE_LOGIN_CANCEL = 35, /* monitor: the client went away */
};

#endif
