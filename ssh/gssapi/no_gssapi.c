/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of libgssapi_krb5 for our programs that speak SSH: no mechanism, no credentials, nothing
 * (RFC 2744). libssh is linked with that library and enters it for whoever asks for
 * "gssapi-with-mic", before anybody has logged in; we offer no such method. With this the seven
 * libraries of Kerberos are neither loaded for each connection nor there to be entered. Where this
 * file is missing the linker finds the system's.
 */
#include <stddef.h>

#define FAILURE (13u << 16) /* GSS_S_FAILURE */

/* gss_OID_set_desc */
struct oid_set {
	size_t count;
	void *elements;
};

typedef unsigned int status;

static struct oid_set no_oids;

const void *const GSS_C_NT_HOSTBASED_SERVICE = NULL, *const GSS_C_NT_USER_NAME = NULL;

/* What libssh calls without looking at the result has to leave something it can look at. */
status gss_indicate_mechs(status *minor, struct oid_set **ret_set);
status gss_indicate_mechs(status *minor, struct oid_set **ret_set)
{
	*minor = 0;
	*ret_set = &no_oids;
	return 0;
}

status gss_create_empty_oid_set(status *minor, struct oid_set **ret_set);
status gss_create_empty_oid_set(status *minor, struct oid_set **ret_set)
{
	*minor = 0;
	*ret_set = &no_oids;
	return 0;
}

status gss_release_oid_set(status *minor, struct oid_set **set);
status gss_release_oid_set(status *minor, struct oid_set **set)
{
	*minor = 0;
	*set = NULL;
	return 0;
}

status gss_test_oid_set_member(status *minor, const void *oid, const void *set, int *ret_present);
status gss_test_oid_set_member(status *minor, const void *oid, const void *set, int *ret_present)
{
	(void)oid;
	(void)set;
	*minor = 0;
	*ret_present = 0;
	return 0;
}

/* Nothing was ever handed out. */
#define RELEASE(name)             \
	status name(status *minor);   \
	status name(status *minor)    \
	{                             \
		*minor = 0;           \
		return 0;             \
	}
RELEASE(gss_release_buffer)
RELEASE(gss_release_cred)
RELEASE(gss_release_name)
RELEASE(gss_delete_sec_context)

#define FAIL(name)              \
	status name(status *minor); \
	status name(status *minor)  \
	{                           \
		*minor = 0;         \
		return FAILURE;     \
	}
FAIL(gss_accept_sec_context)
FAIL(gss_acquire_cred)
FAIL(gss_add_cred)
FAIL(gss_add_oid_set_member)
FAIL(gss_canonicalize_name)
FAIL(gss_compare_name)
FAIL(gss_context_time)
FAIL(gss_display_name)
FAIL(gss_display_status)
FAIL(gss_duplicate_name)
FAIL(gss_export_name)
FAIL(gss_export_sec_context)
FAIL(gss_get_mic)
FAIL(gss_import_name)
FAIL(gss_import_sec_context)
FAIL(gss_init_sec_context)
FAIL(gss_inquire_context)
FAIL(gss_inquire_cred)
FAIL(gss_inquire_cred_by_mech)
FAIL(gss_inquire_mechs_for_name)
FAIL(gss_inquire_names_for_mech)
FAIL(gss_process_context_token)
FAIL(gss_unwrap)
FAIL(gss_verify_mic)
FAIL(gss_wrap)
FAIL(gss_wrap_size_limit)
