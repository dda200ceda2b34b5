/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP transfer on a curl handle. TLS 1.2 or newer, verified against CAs or pinned keys; plain
 * HTTP only where the wire is this machine, which is checked again on the connected address, so
 * that no redirect leads out. Bodies are bounded; what was sent and received is wiped.
 */
#include "identity/http_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/addr.h"
#include "platform/encode.h"
#include "platform/secret.h"

enum {
	TIMEOUT_MS = 15000,
	IDLE_MS = 90000,
	MAX_BODY = 1 << 20,
	MAX_REDIRECTS = 5,
	HEADERS_MAX = 64,
};

static bool loopback_address(const char *text)
{
	struct ip_addr addr;
	struct ip_prefix net;

	if (ip_addr_parse(text, &addr) < 0)
		return false;
	if (addr.family == 4)
		return ip_prefix_parse("127.0.0.0/8", &net) == 0 && ip_prefix_contains(&net, &addr);
	return ip_prefix_parse("::1/128", &net) == 0 && ip_prefix_contains(&net, &addr);
}

static bool loopback_host(const char *host)
{
	char bare[IP_ADDR_STRLEN];
	size_t len = strlen(host);

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (len > 2 && host[0] == '[' && host[len - 1] == ']' && len - 2 < sizeof(bare)) {
		memcpy(bare, host + 1, len - 2);
		bare[len - 2] = '\0';
		return loopback_address(bare);
	}
	return loopback_address(host);
}

/* Scheme, host and port out of the URL: sets target, https, loopback_only. */
static int read_url(const struct http_options *o, struct http_request *r, struct error *err)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
	CURLU *url = curl_url();
	int rc = 0;

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, o->url, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		rc = error_set(err, -EINVAL, "\"%.200s\" is not a URL; write https://host/…",
			       o->url);
	else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
		rc = error_set(err, -EINVAL, "a URL with a user name in it is not accepted");
	else if (strcmp(scheme, "https") == 0)
		r->https = true;
	else if (strcmp(scheme, "http") != 0)
		rc = error_set(err, -EINVAL, "\"%s:\" is not accepted; write https://host/…",
			       scheme);
	else if (!o->unix_socket && !loopback_host(host))
		rc = error_set(
			err, -EINVAL,
			"http://%s is refused: plain HTTP is for this machine only; write https",
			host);
	if (rc == 0) {
		r->loopback_only = !r->https && !o->unix_socket;
		r->proxy_allowed = r->https && !o->unix_socket && !loopback_host(host);
		if (o->unix_socket)
			rc = asprintf(&r->target, "the socket %s", o->unix_socket);
		else
			rc = asprintf(&r->target, "%s://%s:%s", scheme, host, port);
		if (rc < 0)
			r->target = NULL;
		rc = rc < 0 ? -ENOMEM : 0;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(user);
	curl_url_cleanup(url);
	return rc;
}

/* Is "sha256//BASE64" of this hash in the ;-separated list? */
static bool pinned(const char *pins, const uint8_t hash[32])
{
	static const char scheme[] = "sha256//";
	const size_t scheme_len = sizeof(scheme) - 1;

	while (*pins) {
		size_t len = strcspn(pins, ";"), got = 0;
		uint8_t pin[32];

		if (len > scheme_len && strncmp(pins, scheme, scheme_len) == 0 &&
		    encode_base64_decode(pin, sizeof(pin), pins + scheme_len, len - scheme_len,
					 &got) == 0 &&
		    got == sizeof(pin) && memcmp(pin, hash, sizeof(pin)) == 0)
			return true;
		pins += len + (pins[len] == ';');
	}
	return false;
}

static bool leaf_spki(CURL *easy, uint8_t ret_hash[32])
{
	struct curl_tlssessioninfo *info = NULL;
	unsigned char *der = NULL;
	X509 *leaf;
	int len = 0;

	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info ||
	    info->backend != CURLSSLBACKEND_OPENSSL || !info->internals)
		return false;
	leaf = SSL_get1_peer_certificate(info->internals);
	if (!leaf)
		return false;
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
	if (len > 0)
		SHA256(der, (size_t)len, ret_hash);
	OPENSSL_free(der);
	X509_free(leaf);
	return len > 0;
}

/* At each status line: who answers? curl has checked the pins when the connection was made; this
 * check is about the connection that is really used, whoever made it. */
static int check_peer(struct http_request *r)
{
	uint8_t hash[32];

	if (!r->https || (!r->pins && !r->on_spki))
		return 0;
	if (!leaf_spki(r->easy, hash) || (r->pins && !pinned(r->pins, hash))) {
		r->stop_error = -EPROTO;
		return -EPROTO;
	}
	if (r->on_spki)
		r->on_spki(r->ctx, hash);
	return 0;
}

static void read_cache_control(const char *value, struct http_response *response)
{
	const char *age;

	if (strcasestr(value, "no-store") || strcasestr(value, "no-cache")) {
		response->max_age_s = 0;
		return;
	}
	age = strcasestr(value, "max-age=");
	if (!age)
		return;
	age += strlen("max-age=");
	response->max_age_s = 0;
	for (int i = 0; i < 9 && age[i] >= '0' && age[i] <= '9'; i++)
		response->max_age_s = response->max_age_s * 10 + (age[i] - '0');
}

/* Copies the value of "Name: value\r\n" when the name is the one; cut values are no values. */
static bool header_value(const char *line, size_t len, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
		return false;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr("\r\n \t", line[len - 1]))
		len--;
	out[0] = '\0';
	if (len >= cap || memchr(line, 0, len))
		return true;
	memcpy(out, line, len);
	out[len] = '\0';
	return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct http_request *r = ctx;
	size_t len = size * count;
	char value[512];

	http_touch(r);
	if (r->ended)
		return CURL_WRITEFUNC_ERROR;
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) {
		r->response.content_type[0] = r->response.location[0] = '\0';
		r->response.max_age_s = -1;
		return check_peer(r) < 0 || r->ended ? CURL_WRITEFUNC_ERROR : len;
	}
	(void)header_value(line, len, "Content-Type", r->response.content_type,
			   sizeof(r->response.content_type));
	(void)header_value(line, len, "Location", r->response.location,
			   sizeof(r->response.location));
	if (header_value(line, len, "Cache-Control", value, sizeof(value)))
		read_cache_control(value, &r->response);
	return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_request *r = ctx;
	size_t len = size * count;
	long status = 0;

	http_touch(r);
	if (r->ended)
		return CURL_WRITEFUNC_ERROR;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (r->streaming && status / 100 == 2) {
		if (r->on_data(r->ctx, data, len) == 0 && !r->ended)
			return len;
		r->stop_error = -ECANCELED;
		return CURL_WRITEFUNC_ERROR;
	}
	r->stop_error = buffer_append(&r->answer, data, len);
	return r->stop_error < 0 ? CURL_WRITEFUNC_ERROR : len;
}

/* Connected, nothing sent yet: plain HTTP goes nowhere else, whatever a name or redirect said. */
static int on_connected(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
	struct http_request *r = ctx;

	(void)local, (void)remote_port, (void)local_port;
	if (!r->loopback_only || (remote && loopback_address(remote)))
		return CURL_PREREQFUNC_OK;
	r->stop_error = -EACCES;
	return CURL_PREREQFUNC_ABORT;
}

static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	int flags = fcntl(fd, F_GETFD);

	(void)ctx, (void)purpose;
	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return CURL_SOCKOPT_ERROR;
	return CURL_SOCKOPT_OK;
}

static int add_headers(struct http_request *r, const struct http_options *o)
{
	bool has_type = false;
	struct curl_slist *list;
	int count = 0;

	for (const char *const *h = o->headers; h && *h; h++) {
		if (strpbrk(*h, "\r\n") || ++count > HEADERS_MAX)
			return -EINVAL;
		has_type = has_type || strncasecmp(*h, "Content-Type:", 13) == 0;
		list = curl_slist_append(r->headers, *h);
		if (!list)
			return -ENOMEM;
		r->headers = list;
	}
	list = curl_slist_append(r->headers, "Expect:");
	if (list && !has_type)
		list = curl_slist_append(list, "Content-Type:");
	if (!list)
		return -ENOMEM;
	r->headers = list;
	return 0;
}

/* True when every option was taken. A macro so that curl's type checks see each option. */
#define SET(option, value) (curl_easy_setopt(e, option, value) == CURLE_OK)

/* OpenSSL deciphers in place and gives the memory back as it is. */
static CURLcode on_tls_context(CURL *easy, void *ctx, void *arg)
{
	(void)easy, (void)arg;
	SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
	return CURLE_OK;
}

static bool set_up_tls(CURL *e, const struct http_options *o)
{
	const struct http_trust *t = &o->trust;
	bool good = SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
		    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context);

	if (t->insecure_once) /* never a connection that somebody else might take over */
		return good && SET(CURLOPT_SSL_VERIFYPEER, 0L) && SET(CURLOPT_SSL_VERIFYHOST, 0L) &&
		       SET(CURLOPT_FRESH_CONNECT, 1L) && SET(CURLOPT_FORBID_REUSE, 1L) &&
		       SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (t->pinned_spki)
		return good && SET(CURLOPT_SSL_VERIFYPEER, 0L) && SET(CURLOPT_SSL_VERIFYHOST, 0L) &&
		       SET(CURLOPT_PINNEDPUBLICKEY, t->pinned_spki) &&
		       SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (t->ca_file)
		good = good && SET(CURLOPT_CAINFO, t->ca_file) && SET(CURLOPT_CAPATH, NULL);
	return good && SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L);
}

static bool set_up_body(CURL *e, const struct http_request *r, const char *method)
{
	if (strcmp(method, "HEAD") == 0)
		return SET(CURLOPT_NOBODY, 1L);
	if (r->body_len == 0 && strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0 &&
	    strcmp(method, "PATCH") != 0)
		return SET(CURLOPT_CUSTOMREQUEST, method);
	return SET(CURLOPT_POST, 1L) && SET(CURLOPT_CUSTOMREQUEST, method) &&
	       SET(CURLOPT_POSTFIELDS, r->body) &&
	       SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
}

static bool set_up_times(CURL *e, struct http_request *r, const struct http_options *o)
{
	long timeout = o->timeout_ms ? (long)o->timeout_ms : TIMEOUT_MS;

	r->first_byte_ms = (uint64_t)timeout;
	r->idle_ms = o->idle_timeout_ms ? o->idle_timeout_ms : IDLE_MS;
	return SET(CURLOPT_CONNECTTIMEOUT_MS, timeout) &&
	       (r->streaming ? SET(CURLOPT_TCP_KEEPALIVE, 1L) : SET(CURLOPT_TIMEOUT_MS, timeout));
}

static bool set_up(struct http_request *r, const struct http_options *o, const char *user_agent)
{
	const char *method = o->method ? o->method : "GET";
	const char *protocol = r->https ? "https" : "http";
	CURL *e = r->easy;
	bool good;

	good = SET(CURLOPT_URL, o->url) && SET(CURLOPT_PRIVATE, r) && SET(CURLOPT_NOSIGNAL, 1L) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_PROTOCOLS_STR, protocol) && SET(CURLOPT_REDIR_PROTOCOLS_STR, protocol) &&
	       SET(CURLOPT_USERAGENT, user_agent) && SET(CURLOPT_ERRORBUFFER, r->detail) &&
	       SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, r) &&
	       SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, r) &&
	       SET(CURLOPT_PREREQFUNCTION, on_connected) && SET(CURLOPT_PREREQDATA, r) &&
	       SET(CURLOPT_SOCKOPTFUNCTION, on_socket) && SET(CURLOPT_HTTPHEADER, r->headers);
	/* The environment's proxy only where TLS keeps it from reading along. */
	if (!r->proxy_allowed)
		good = good && SET(CURLOPT_PROXY, "");
	if (o->unix_socket)
		good = good && SET(CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
	if (o->follow_redirects && strcmp(method, "GET") == 0)
		good = good && SET(CURLOPT_FOLLOWLOCATION, 1L) &&
		       SET(CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
	return good && set_up_tls(e, o) && set_up_body(e, r, method) && set_up_times(e, r, o);
}

int http_transfer_new(const struct http_options *options, const char *user_agent,
		      struct http_request **ret_request, struct error *err)
{
	struct http_request *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return error_set(err, -ENOMEM, "out of memory");
	buffer_init(&r->answer, options->max_body ? options->max_body : MAX_BODY);
	r->response.max_age_s = -1;
	r->streaming = options->on_data != NULL;
	r->on_data = options->on_data;
	r->on_done = options->on_done;
	r->on_spki = options->trust.on_spki;
	r->ctx = options->ctx;
	rc = read_url(options, r, err);
	if (rc < 0)
		goto out;
	rc = -ENOMEM;
	if (options->trust.pinned_spki) {
		r->pins = strdup(options->trust.pinned_spki);
		if (!r->pins)
			goto out;
	}
	r->body_len = options->body_len;
	r->body = malloc(options->body_len + 1); /* curl wants something for an empty body too */
	r->easy = curl_easy_init();
	if (!r->body || !r->easy)
		goto out;
	if (options->body_len > 0)
		memcpy(r->body, options->body, options->body_len);
	rc = add_headers(r, options);
	if (rc == 0 && !set_up(r, options, user_agent))
		rc = error_set(err, -EINVAL, "the request to %s can't be set up", r->target);
out:
	if (rc < 0) {
		if (err && err->code == 0)
			error_set(err, rc, "the request can't be made: %s", strerror(-rc));
		http_transfer_free(r);
		return rc;
	}
	*ret_request = r;
	return 0;
}

void http_transfer_free(struct http_request *r)
{
	if (!r)
		return;
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	buffer_done(&r->answer);
	if (r->body && r->body_len > 0)
		secret_wipe(r->body, r->body_len);
	free(r->body);
	free(r->pins);
	free(r->target);
	free(r);
}

void http_transfer_fail(struct http_request *r, int error, const char *what)
{
	r->response.error = error;
	snprintf(r->response.error_text, sizeof(r->response.error_text), "cannot reach %s: %s",
		 r->target, what);
}

/* The end of a sentence, and our code for curl's. */
static int explain(const struct http_request *r, CURLcode code, const char **ret_what)
{
	long os_errno = 0;

	*ret_what = r->detail[0] ? r->detail : curl_easy_strerror(code);
	switch ((int)code) { /* an int: curl has a hundred of them */
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		*ret_what = "there is no such host name, or the resolver does not answer";
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		*ret_what = "no answer in time";
		return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os_errno);
		if (os_errno <= 0)
			return -ECONNREFUSED;
		*ret_what =
			os_errno == ECONNREFUSED ? "connection refused" : strerror((int)os_errno);
		return -(int)os_errno;
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		*ret_what = "its key is none of the pinned ones";
		return -EPROTO;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return -EPROTO;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		*ret_what = "the connection was closed in the middle";
		return -ECONNRESET;
	case CURLE_TOO_MANY_REDIRECTS:
		*ret_what = "too many redirects";
		return -ELOOP;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

void http_transfer_result(struct http_request *r, CURLcode code)
{
	const char *what;
	int error;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->response.status);
	if (r->stop_error == -EMSGSIZE) {
		http_transfer_fail(r, -EMSGSIZE, "its answer is longer than allowed");
	} else if (r->stop_error == -EPROTO) {
		http_transfer_fail(r, -EPROTO, "its key is none of the pinned ones");
	} else if (r->stop_error == -EACCES) {
		http_transfer_fail(r, -EACCES, "plain HTTP is for this machine only");
	} else if (r->stop_error < 0) {
		http_transfer_fail(r, r->stop_error, strerror(-r->stop_error));
	} else if (code != CURLE_OK) {
		error = explain(r, code, &what);
		http_transfer_fail(r, error, what);
	}
	if (r->streaming && r->response.status / 100 == 2)
		return;
	r->response.body = buffer_cstring(&r->answer);
	r->response.body_len = r->response.body ? r->answer.len : 0;
	if (!r->response.body && r->response.error == 0)
		http_transfer_fail(r, -ENOMEM, "out of memory");
}
