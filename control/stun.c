/* SPDX-License-Identifier: Apache-2.0
 *
 * The STUN responder (RFC 8489 sections 5, 6.3.1 and 14.2). Answers well-formed Binding requests
 * with XOR-MAPPED-ADDRESS and drops everything else silently: indications, responses, other
 * methods, unknown comprehension-required attributes, wrong lengths.
 */
#include "control/stun.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "platform/buffer.h"

#define MAGIC		0x2112A442u
#define BINDING_REQUEST 0x0001
#define BINDING_SUCCESS 0x0101
#define XOR_MAPPED	0x0020
#define HEADER		20
#define MAX_REQUEST	1500

/* Attributes under 0x8000 must be understood; none is. */
static bool attributes_fine(struct reader *r)
{
	while (reader_left(r) > 0) {
		uint16_t type = reader_u16(r), len = reader_u16(r);

		(void)reader_take(r, ((size_t)len + 3) & ~(size_t)3);
		if (r->failed || type < 0x8000)
			return false;
	}
	return true;
}

size_t stun_answer(const uint8_t *request, size_t len, const struct endpoint *source,
		   uint8_t out[static STUN_MAX_ANSWER])
{
	struct reader r = reader_init(request, len);
	struct writer w = writer_init(out, STUN_MAX_ANSWER);
	struct ip_addr addr;
	uint8_t id[12], mask[16];

	if (len < HEADER || len > MAX_REQUEST || reader_u16(&r) != BINDING_REQUEST ||
	    reader_u16(&r) != len - HEADER || (len & 3) || reader_u32(&r) != MAGIC)
		return 0;
	reader_bytes(&r, id, sizeof(id));
	if (!attributes_fine(&r))
		return 0;
	endpoint_ip(source, &addr);
	if (addr.family != 4 && addr.family != 6)
		return 0;
	size_t bytes = addr.family == 4 ? 4 : 16;
	writer_u16(&w, BINDING_SUCCESS);
	writer_u16(&w, (uint16_t)(8 + bytes));
	writer_u32(&w, MAGIC);
	writer_bytes(&w, id, sizeof(id));
	memcpy(mask, out + 4, sizeof(mask)); /* magic cookie, then the transaction id */
	writer_u16(&w, XOR_MAPPED);
	writer_u16(&w, (uint16_t)(4 + bytes));
	writer_u8(&w, 0);
	writer_u8(&w, addr.family == 4 ? 1 : 2);
	writer_u16(&w, (uint16_t)(endpoint_port(source) ^ (MAGIC >> 16)));
	for (size_t i = 0; i < bytes; i++)
		writer_u8(&w, addr.bytes[i] ^ mask[i]);
	return w.failed ? 0 : w.len;
}

struct stun {
	uv_udp_t udp;
	char buffer[MAX_REQUEST + 1];
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct stun *s = handle->data;

	(void)suggested;
	*buf = uv_buf_init(s->buffer, sizeof(s->buffer));
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
			unsigned flags)
{
	uint8_t answer[STUN_MAX_ANSWER];
	struct endpoint source;

	if (n <= 0 || !from || (flags & UV_UDP_PARTIAL))
		return;
	endpoint_from_sockaddr(from,
			       from->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							  : sizeof(struct sockaddr_in6),
			       &source);
	size_t len = stun_answer((const uint8_t *)buf->base, (size_t)n, &source, answer);
	if (len) {
		uv_buf_t out = uv_buf_init((char *)answer, (unsigned)len);

		(void)uv_udp_try_send(udp, &out, 1, from); /* a full socket drops: STUN repeats */
	}
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

int stun_new(uv_loop_t *loop, const char *listen, struct stun **ret_stun, struct error *err)
{
	struct stun *s = calloc(1, sizeof(*s));
	struct endpoint ep;
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	if (endpoint_parse(listen, &ep) < 0) {
		free(s);
		return error_set(err, -EINVAL,
				 "\"%s\" is not an address for STUN: write it as "
				 "0.0.0.0:3478, or \"\" for none",
				 listen);
	}
	r = uv_udp_init(loop, &s->udp);
	if (r < 0) {
		free(s);
		return error_set(err, r, "no UDP socket: %s", uv_strerror(r));
	}
	s->udp.data = s;
	r = uv_udp_bind(&s->udp, &ep.sa, 0);
	if (r == 0)
		r = uv_udp_recv_start(&s->udp, on_alloc, on_datagram);
	if (r < 0) {
		stun_stop(s);
		return error_set(err, r, "cannot listen for STUN on %s: %s", listen,
				 uv_strerror(r));
	}
	*ret_stun = s;
	return 0;
}

void stun_stop(struct stun *s)
{
	if (s && !uv_is_closing((uv_handle_t *)&s->udp))
		uv_close((uv_handle_t *)&s->udp, on_closed);
}
