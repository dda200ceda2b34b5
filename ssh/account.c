/* SPDX-License-Identifier: Apache-2.0
 *
 * The local account that somebody logs in as: existence, root, lock, expiry, shell, nologin, PAM
 * account and session. Every kind of access (shell, exec, sftp, forwards) passes here first.
 */
#include <errno.h>
#include <grp.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "ssh/monitor.h"

#define SECONDS_PER_DAY 86400
#define NOLOGIN_FILE	"/etc/nologin"
#define SHELLS_FILE	"/etc/shells"

static const char *pam_service(void)
{
	if (access("/etc/pam.d/sshd", F_OK) == 0)
		return "sshd";
	return access("/etc/pam.d/warren-ssh", F_OK) == 0 ? "warren-ssh" : "other";
}

/* Nobody is there to answer: informational text is kept, questions fail. */
static int converse(int count, const struct pam_message **messages,
		    struct pam_response **ret_responses, void *ctx)
{
	struct monitor *m = ctx;
	struct pam_response *responses;

	if (count <= 0 || count > 64)
		return PAM_CONV_ERR;
	responses = calloc((size_t)count, sizeof(*responses));
	if (responses == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < count; i++) {
		int style = messages[i]->msg_style;

		if (style != PAM_TEXT_INFO && style != PAM_ERROR_MSG) {
			free(responses);
			return PAM_CONV_ERR;
		}
		if (messages[i]->msg != NULL &&
		    buffer_printf(&m->pam_text, "%s\n", messages[i]->msg) < 0)
			log_debug("PAM says more than fits", NULL);
	}
	*ret_responses = responses;
	return PAM_SUCCESS;
}

static int start_pam(struct monitor *m)
{
	const struct pam_conv conv = {.conv = converse, .appdata_ptr = m};
	char host[IP_ADDR_STRLEN];
	struct ip_addr client;

	if (geteuid() != 0 || !m->options->now.use_pam)
		return 0; /* without root one account only; PAM needs root */
	if (pam_start(pam_service(), m->account.name, &conv, &m->pam) != PAM_SUCCESS) {
		m->pam = NULL;
		return -EACCES;
	}
	endpoint_ip(&m->config.client, &client);
	ip_addr_format(&client, host);
	pam_set_item(m->pam, PAM_RHOST, host);
	pam_set_item(m->pam, PAM_TTY, "ssh");
	return 0;
}

/* "!" before a hash: locked by passwd -l. A bare "!" or "*" only says that there is no password. */
bool account_locked(const char *hash)
{
	return hash[0] == '!' && hash[1] != '\0' && hash[1] != '!' && hash[1] != '*';
}

static int check_shadow(const char *login, struct error *err)
{
	const struct spwd *sp = getspnam(login);
	long today = (long)(time(NULL) / SECONDS_PER_DAY);

	if (sp == NULL)
		return 0; /* no shadow entry: PAM decides */
	if (account_locked(sp->sp_pwdp))
		return error_set(err, -EACCES, "the account %s is locked on this machine", login);
	if (sp->sp_expire > 0 && today >= sp->sp_expire)
		return error_set(err, -EACCES, "the account %s has expired on this machine", login);
	return 0;
}

/* shells(5). A machine without the file has no opinion. */
static bool listed_shell(const char *shell)
{
	const char *line;
	bool found = access(SHELLS_FILE, F_OK) != 0;

	setusershell();
	while (!found && (line = getusershell()) != NULL)
		found = strcmp(line, shell) == 0;
	endusershell();
	return found;
}

static int check_shell(const struct user_account *account, struct error *err)
{
	const char *shell = account->shell[0] != '\0' ? account->shell : "/bin/sh";
	const char *name = strrchr(shell, '/');
	struct stat st;

	name = name != NULL ? name + 1 : shell;
	if (strcmp(name, "nologin") == 0 || strcmp(name, "false") == 0)
		return error_set(err, -EACCES, "the account %s may not log in: its shell is %s",
				 account->name, shell);
	if (stat(shell, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return error_set(err, -EACCES, "the account %s has no usable shell (%s)",
				 account->name, shell);
	if (!listed_shell(shell))
		return error_set(err, -EACCES,
				 "the account %s may not log in: its shell %s is not in "
				 SHELLS_FILE,
				 account->name, shell);
	return 0;
}

/* The text of /etc/nologin is the administrator's word to everybody but root. */
static int check_nologin(uid_t uid, struct error *err)
{
	struct buffer text;
	int r = 0;

	if (uid == 0 || access(NOLOGIN_FILE, F_OK) != 0)
		return 0;
	buffer_init(&text, 400);
	if (file_read(NOLOGIN_FILE, &text) == 0 && text.len > 0 && buffer_cstring(&text) != NULL)
		r = error_set(err, -EACCES, "%s", (const char *)text.data);
	else
		r = error_set(err, -EACCES, "logins are closed on this machine (" NOLOGIN_FILE ")");
	buffer_done(&text);
	return r;
}

static int check_pam(struct monitor *m, struct error *err)
{
	int r;

	if (start_pam(m) < 0)
		return error_set(err, -EACCES, "PAM does not start on this machine");
	if (m->pam == NULL)
		return 0;
	r = pam_acct_mgmt(m->pam, 0);
	if (r == PAM_SUCCESS)
		return 0;
	while (m->pam_text.len > 0 && m->pam_text.data[m->pam_text.len - 1] == '\n')
		m->pam_text.len--;
	error_set(err, -EACCES, "the account %s may not be used on this machine: %s",
		  m->account.name,
		  m->pam_text.len > 0 && buffer_cstring(&m->pam_text) != NULL
			  ? (const char *)m->pam_text.data
			  : pam_strerror(m->pam, r));
	buffer_reset(&m->pam_text);
	pam_end(m->pam, r);
	m->pam = NULL;
	return -EACCES;
}

int account_check(struct monitor *m, const char *login, struct error *err)
{
	int r;

	if (!user_name_valid(login) || user_lookup(login, &m->account) < 0)
		return error_set(err, -EACCES, "there is no account %s on %s", login,
				 m->config.host_name);
	if (m->account.uid == 0 && !m->config.allow_root)
		return error_set(err, -EACCES,
				 "root logins are off on %s (an administrator there can say "
				 "`warren up --enable-ssh-root`)",
				 m->config.host_name);
	if (geteuid() != 0 && m->account.uid != geteuid())
		return error_set(
			err, -EACCES,
			"this SSH server runs without root: only its own account can log in");
	r = check_nologin(m->account.uid, err);
	if (r == 0)
		r = check_shadow(login, err);
	if (r == 0)
		r = check_shell(&m->account, err);
	if (r == 0)
		r = check_pam(m, err);
	return r;
}

int account_limits_keep(struct monitor *m)
{
	for (int i = 0; i < (int)RLIM_NLIMITS; i++)
		if (getrlimit((__rlimit_resource_t)i, &m->limits[i]) < 0)
			return -errno;
	return 0;
}

/* Without CAP_SYS_RESOURCE (containers) a hard limit that was lowered stays; then the soft one goes as
 * far as it may. */
static void set_limits(const struct rlimit limits[static RLIM_NLIMITS])
{
	for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
		struct rlimit limit;

		if (setrlimit((__rlimit_resource_t)i, &limits[i]) == 0 ||
		    getrlimit((__rlimit_resource_t)i, &limit) < 0)
			continue;
		limit.rlim_cur =
			limits[i].rlim_cur < limit.rlim_max ? limits[i].rlim_cur : limit.rlim_max;
		if (setrlimit((__rlimit_resource_t)i, &limit) < 0)
			log_debug("a limit cannot be set", "number=%d", i);
	}
}

void account_limits(const struct monitor *m)
{
	set_limits(m->limits);
}

/* PAM's modules set limits for the process that calls them. */
static int open_with_limits(struct monitor *m, bool quiet)
{
	struct rlimit own[RLIM_NLIMITS], of_sessions[RLIM_NLIMITS];
	int r;

	memcpy(of_sessions, m->limits, sizeof(of_sessions));
	if (account_limits_keep(m) < 0)
		return PAM_SYSTEM_ERR;
	memcpy(own, m->limits, sizeof(own));
	set_limits(of_sessions);
	r = pam_open_session(m->pam, quiet ? PAM_SILENT : 0);
	if (account_limits_keep(m) < 0)
		r = PAM_SYSTEM_ERR;
	set_limits(own);
	return r;
}

/* Umask and groups that PAM sets for this process are what sessions inherit, as with sshd. */
int account_open_session(struct monitor *m, bool quiet)
{
	int r;

	if (m->pam == NULL || m->pam_session_open)
		return 0;
	if (initgroups(m->account.name, m->account.gid) < 0)
		return -errno;
	r = pam_setcred(m->pam, PAM_ESTABLISH_CRED);
	if (r == PAM_SUCCESS)
		r = open_with_limits(m, quiet);
	if (r != PAM_SUCCESS) {
		monitor_audit(m, "PAM refuses a session", "reason", pam_strerror(m->pam, r));
		return -EACCES;
	}
	m->pam_session_open = m->groups_ready = true;
	return 0;
}

void account_close_session(struct monitor *m)
{
	if (m->pam == NULL)
		return;
	if (m->pam_session_open) {
		pam_close_session(m->pam, PAM_SILENT);
		pam_setcred(m->pam, PAM_DELETE_CRED | PAM_SILENT);
	}
	pam_end(m->pam, PAM_SUCCESS);
	m->pam = NULL;
	m->pam_session_open = false;
}

void account_become(const struct monitor *m)
{
	const struct user_account *account = &m->account;
	uid_t r, e, s;
	gid_t gr, ge, gs;

	if (geteuid() != 0) {
		if (geteuid() != account->uid)
			_exit(126);
		return;
	}
	if (!m->groups_ready && initgroups(account->name, account->gid) < 0)
		_exit(126);
	if (setresgid(account->gid, account->gid, account->gid) < 0 ||
	    setresuid(account->uid, account->uid, account->uid) < 0)
		_exit(126);
	if (getresuid(&r, &e, &s) < 0 || r != account->uid || e != account->uid ||
	    s != account->uid || getresgid(&gr, &ge, &gs) < 0 || gr != account->gid ||
	    ge != account->gid || gs != account->gid)
		_exit(126);
	if (account->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		_exit(126);
}
