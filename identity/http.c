/* SPDX-License-Identifier: Apache-2.0
 *
 * curl multi on a libuv loop: sockets by uv_poll, curl's timer and the time-outs of streams by two
 * uv_timers. curl forbids most calls from inside its callbacks, while ours may start, cancel or
 * free anything there: such wishes are kept until curl has returned ("settle").
 */
#include "identity/http.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "identity/http_transfer.h"
#include "platform/secret.h"

#define POOL_MS 120000 /* curl uses no connection again that was idle for longer (118 s) */

struct http {
	uv_loop_t *loop;
	CURLM *multi;
	char *user_agent;
	struct http_request *requests;
	uv_timer_t curl_timer;	 /* when curl wants to be called */
	uv_timer_t stream_timer; /* earliest deadline of a stream */
	unsigned open_handles;
	unsigned in_curl; /* depth of calls into curl */
	bool closing;
	uint64_t fresh_until_ms; /* no connection from before is used again */
};

/* A socket that curl wants watched. */
struct watch {
	struct http *http;
	uv_poll_t poll;
	curl_socket_t fd;
};

static void settle(struct http *h);

static void free_when_closed(struct http *h)
{
	if (!h->closing || h->open_handles > 0)
		return;
	free(h->user_agent);
	free(h);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	h->open_handles--;
	free_when_closed(h);
}

static void on_watch_closed(uv_handle_t *handle)
{
	struct watch *w = handle->data;
	struct http *h = w->http;

	free(w);
	h->open_handles--;
	free_when_closed(h);
}

static void socket_action(struct http *h, curl_socket_t fd, int events)
{
	int running;

	h->in_curl++;
	(void)curl_multi_socket_action(h->multi, fd, events, &running);
	h->in_curl--;
	settle(h);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	int flags = status < 0 ? CURL_CSELECT_ERR : 0;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	socket_action(w->http, w->fd, flags);
}

static struct watch *watch_new(struct http *h, curl_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->http = h;
	w->fd = fd;
	if (uv_poll_init_socket(h->loop, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	h->open_handles++;
	curl_multi_assign(h->multi, fd, w);
	return w;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct watch *w = socket_ctx;
	struct http *h = ctx;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			curl_multi_assign(h->multi, fd, NULL);
			uv_poll_stop(&w->poll);
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return 0;
	}
	if (!w)
		w = watch_new(h, fd);
	if (!w)
		return -1;
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&w->poll, events, on_poll) < 0 ? -1 : 0;
}

static void on_curl_timeout(uv_timer_t *timer)
{
	socket_action(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http *h = ctx;

	(void)multi;
	if (timeout_ms < 0)
		return uv_timer_stop(&h->curl_timer) < 0 ? -1 : 0;
	return uv_timer_start(&h->curl_timer, on_curl_timeout, (uint64_t)timeout_ms, 0) < 0 ? -1
											    : 0;
}

/* Tells the caller, once. The request lives until settle() has taken it out of curl. */
static void end_request(struct http_request *r)
{
	if (r->ended)
		return;
	r->ended = true;
	r->on_done(r->ctx, &r->response);
}

void http_touch(struct http_request *r)
{
	if (r->streaming && !r->ended)
		r->deadline_ms = uv_now(r->http->loop) + r->idle_ms;
}

static void on_stream_timeout(uv_timer_t *timer)
{
	struct http *h = timer->data;
	uint64_t now = uv_now(h->loop);

	h->in_curl++; /* nothing leaves the list meanwhile */
	for (struct http_request *r = h->requests; r; r = r->next) {
		if (r->ended || r->deadline_ms == 0 || r->deadline_ms > now)
			continue;
		http_transfer_fail(r, -ETIMEDOUT, "no answer in time");
		end_request(r);
	}
	h->in_curl--;
	settle(h);
}

static void arm_stream_timer(struct http *h)
{
	uint64_t first = UINT64_MAX, now = uv_now(h->loop);

	for (const struct http_request *r = h->requests; r; r = r->next)
		if (!r->ended && r->deadline_ms != 0 && r->deadline_ms < first)
			first = r->deadline_ms;
	if (first == UINT64_MAX)
		(void)uv_timer_stop(&h->stream_timer);
	else
		(void)uv_timer_start(&h->stream_timer, on_stream_timeout,
				     first > now ? first - now : 0, 0);
}

/* Results that curl has ready. The done callbacks may do anything. */
static void collect(struct http *h)
{
	CURLMsg *msg;
	int left;

	while (!h->closing && (msg = curl_multi_info_read(h->multi, &left))) {
		struct http_request *r = NULL;
		CURLcode code;

		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result; /* msg dies with the next call */
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &r);
		if (!r || r->ended)
			continue;
		http_transfer_result(r, code);
		end_request(r);
	}
}

/* New requests go to curl, ended ones leave it. True when there was something to do. */
static bool exchange(struct http *h)
{
	bool changed = false;

	for (struct http_request **at = &h->requests; *at;) {
		struct http_request *r = *at;

		if (r->ended) {
			*at = r->next;
			h->in_curl++;
			if (r->in_multi)
				curl_multi_remove_handle(h->multi, r->easy);
			http_transfer_free(r);
			h->in_curl--;
			changed = true;
			continue;
		}
		if (!r->in_multi) {
			h->in_curl++;
			if (curl_multi_add_handle(h->multi, r->easy) == CURLM_OK)
				r->in_multi = true;
			h->in_curl--;
			changed = true;
			if (!r->in_multi) {
				http_transfer_fail(r, -ENOMEM, "out of memory");
				end_request(r);
				return true; /* the callback may have changed the list */
			}
		}
		at = &r->next;
	}
	return changed;
}

static void shut(struct http *h)
{
	h->in_curl++; /* nothing below may come back here */
	curl_multi_cleanup(h->multi);
	h->multi = NULL;
	uv_close((uv_handle_t *)&h->curl_timer, on_timer_closed);
	uv_close((uv_handle_t *)&h->stream_timer, on_timer_closed);
}

/* Brings curl to what was asked for, when no call into curl is on the stack. */
static void settle(struct http *h)
{
	if (h->in_curl > 0)
		return;
	h->in_curl++; /* callbacks below that settle do nothing: the loop here does it */
	do {
		collect(h);
	} while (exchange(h));
	if (!h->closing)
		arm_stream_timer(h);
	h->in_curl--;
	if (h->closing)
		shut(h);
}

/* OpenSSL writes to sockets without MSG_NOSIGNAL: a server that hangs up must not end the program.
 * (curl could ignore the signal around each call, at four system calls a time.) */
static void ignore_sigpipe(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
		return;
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL); /* fails for bad numbers only */
}

int http_new(uv_loop_t *loop, const char *user_agent, struct http **ret_http)
{
	struct http *h;

	ignore_sigpipe();
	/* Requests and answers carry tokens. */
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_heap_free, secret_heap_realloc,
				 strdup, calloc) != CURLE_OK)
		return -EIO;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->loop = loop;
	h->user_agent = strdup(user_agent);
	h->multi = curl_multi_init();
	if (!h->user_agent || !h->multi ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK) {
		if (h->multi)
			curl_multi_cleanup(h->multi);
		free(h->user_agent);
		free(h);
		return -ENOMEM;
	}
	(void)uv_timer_init(loop, &h->curl_timer); /* never fails */
	(void)uv_timer_init(loop, &h->stream_timer);
	h->curl_timer.data = h->stream_timer.data = h;
	h->open_handles = 2;
	*ret_http = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h || h->closing)
		return;
	h->closing = true;
	/* Callbacks may cancel others meanwhile; nothing is removed before settle(). */
	h->in_curl++;
	for (struct http_request *r = h->requests; r; r = r->next) {
		if (r->ended)
			continue;
		http_transfer_fail(r, -ECANCELED, "cancelled");
		end_request(r);
	}
	h->in_curl--;
	settle(h);
}

int http_start(struct http *h, const struct http_options *options,
	       struct http_request **ret_request, struct error *err)
{
	struct error ignored = {0};
	struct http_request *r;
	int rc;

	if (h->closing)
		return error_set(err, -ECANCELED, "the HTTP client is closing");
	if (!err)
		err = &ignored;
	err->code = 0;
	rc = http_transfer_new(options, h->user_agent, &r, err);
	if (rc < 0)
		return rc;
	r->http = h;
	uv_update_time(h->loop);
	if (uv_now(h->loop) < h->fresh_until_ms &&
	    (curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK ||
	     curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 1L) != CURLE_OK)) {
		http_transfer_free(r);
		return error_set(err, -ENOMEM, "out of memory");
	}
	if (r->streaming)
		r->deadline_ms = uv_now(h->loop) + r->first_byte_ms;
	if (h->in_curl == 0) { /* else settle() does it; curl works from its timer, never at once */
		if (curl_multi_add_handle(h->multi, r->easy) != CURLM_OK) {
			http_transfer_free(r);
			return error_set(err, -ENOMEM, "out of memory");
		}
		r->in_multi = true;
	}
	r->next = h->requests;
	h->requests = r;
	if (ret_request)
		*ret_request = r;
	if (h->in_curl == 0)
		arm_stream_timer(h);
	return 0;
}

void http_distrust_connections(struct http *h)
{
	uv_update_time(h->loop);
	h->fresh_until_ms = uv_now(h->loop) + POOL_MS;
}

uv_loop_t *http_loop(const struct http *h)
{
	return h->loop;
}

void http_cancel(struct http_request *r)
{
	struct http *h;

	if (!r || r->ended)
		return;
	h = r->http;
	http_transfer_fail(r, -ECANCELED, "cancelled");
	end_request(r);
	settle(h);
}
