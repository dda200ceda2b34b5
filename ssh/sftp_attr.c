/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes on the wire (draft-ietf-secsh-filexfer-02 section 5) and for the eye.
 */
#include "ssh/sftp_attr.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#define EXTENDED_FLAG	0x80000000u
#define EXTENDED_MAX	64
#define HALF_A_YEAR_S	(365 * 24 * 60 * 60 / 2)

void sftp_attr_get(struct reader *r, struct sftp_attr *ret_attr)
{
	struct sftp_attr a = {.flags = reader_u32(r)};
	uint32_t count = 0;

	if (a.flags & SFTP_ATTR_SIZE)
		a.size = reader_u64(r);
	if (a.flags & SFTP_ATTR_OWNER) {
		a.uid = reader_u32(r);
		a.gid = reader_u32(r);
	}
	if (a.flags & SFTP_ATTR_MODE)
		a.mode = reader_u32(r);
	if (a.flags & SFTP_ATTR_TIMES) {
		a.atime_s = reader_u32(r);
		a.mtime_s = reader_u32(r);
	}
	if (a.flags & EXTENDED_FLAG)
		count = reader_u32(r);
	if (count > EXTENDED_MAX)
		r->failed = true;
	for (uint32_t i = 0; i < count && !r->failed; i++) {
		size_t len;

		reader_string(r, SFTP_PACKET_MAX, &len);
		reader_string(r, SFTP_PACKET_MAX, &len);
	}
	if (r->failed)
		a = (struct sftp_attr){0};
	a.flags &= ~EXTENDED_FLAG;
	*ret_attr = a;
}

void sftp_attr_put(struct writer *w, const struct stat *st)
{
	writer_u32(w, SFTP_ATTR_SIZE | SFTP_ATTR_OWNER | SFTP_ATTR_MODE | SFTP_ATTR_TIMES);
	writer_u64(w, (uint64_t)st->st_size);
	writer_u32(w, st->st_uid);
	writer_u32(w, st->st_gid);
	writer_u32(w, st->st_mode);
	writer_u32(w, (uint32_t)st->st_atime);
	writer_u32(w, (uint32_t)st->st_mtime);
}

static char type_letter(mode_t mode)
{
	return S_ISDIR(mode)	? 'd'
	       : S_ISLNK(mode)	? 'l'
	       : S_ISCHR(mode)	? 'c'
	       : S_ISBLK(mode)	? 'b'
	       : S_ISFIFO(mode) ? 'p'
	       : S_ISSOCK(mode) ? 's'
				: '-';
}

static void mode_text(mode_t mode, char out[static 11])
{
	static const char letters[] = "rwxrwxrwx";

	out[0] = type_letter(mode);
	for (int i = 0; i < 9; i++)
		out[i + 1] = (mode & (mode_t)(0400 >> i)) ? letters[i] : '-';
	if (mode & S_ISUID)
		out[3] = out[3] == 'x' ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = out[6] == 'x' ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = out[9] == 'x' ? 't' : 'T';
	out[10] = '\0';
}

static void user_text(uid_t uid, bool names, char out[static 32])
{
	static uid_t last_uid;
	static char last[32];
	const struct passwd *pw;

	if (names && last[0] != '\0' && last_uid == uid) {
		memcpy(out, last, sizeof(last));
		return;
	}
	pw = names ? getpwuid(uid) : NULL;
	if (pw != NULL)
		snprintf(out, 32, "%s", pw->pw_name);
	else
		snprintf(out, 32, "%u", uid);
	memcpy(last, out, sizeof(last));
	last_uid = uid;
}

static void group_text(gid_t gid, bool names, char out[static 32])
{
	static gid_t last_gid;
	static char last[32];
	const struct group *gr;

	if (names && last[0] != '\0' && last_gid == gid) {
		memcpy(out, last, sizeof(last));
		return;
	}
	gr = names ? getgrgid(gid) : NULL;
	if (gr != NULL)
		snprintf(out, 32, "%s", gr->gr_name);
	else
		snprintf(out, 32, "%u", gid);
	memcpy(last, out, sizeof(last));
	last_gid = gid;
}

void sftp_attr_longname(const struct stat *st, const char *name, bool names, int64_t now_s,
			char ret_line[static SFTP_LONGNAME_MAX])
{
	char mode[11], user[32], group[32], date[32] = "";
	time_t when = st->st_mtime;
	struct tm tm;

	mode_text(st->st_mode, mode);
	user_text(st->st_uid, names, user);
	group_text(st->st_gid, names, group);
	if (localtime_r(&when, &tm) != NULL &&
	    strftime(date, sizeof(date),
		     when > now_s || now_s - when > HALF_A_YEAR_S ? "%b %e  %Y" : "%b %e %H:%M",
		     &tm) == 0)
		date[0] = '\0';
	snprintf(ret_line, SFTP_LONGNAME_MAX, "%s %3lu %-8s %-8s %8llu %s %s", mode,
		 (unsigned long)st->st_nlink, user, group, (unsigned long long)st->st_size, date,
		 name);
}

enum sftp_status sftp_attr_status(int error)
{
	switch (error) {
	case 0:
		return SFTP_OK;
	case ENOENT:
	case ENOTDIR:
	case EBADF:
	case ELOOP:
		return SFTP_NO_SUCH_FILE;
	case EPERM:
	case EACCES:
	case EFAULT:
	case EROFS:
		return SFTP_PERMISSION_DENIED;
	case ENAMETOOLONG:
	case EINVAL:
		return SFTP_BAD_MESSAGE;
	case ENOSYS:
		return SFTP_UNSUPPORTED;
	default:
		return SFTP_FAILURE;
	}
}

const char *sftp_attr_status_text(enum sftp_status status)
{
	switch (status) {
	case SFTP_OK:
		return "Success";
	case SFTP_EOF:
		return "End of file";
	case SFTP_NO_SUCH_FILE:
		return "No such file";
	case SFTP_PERMISSION_DENIED:
		return "Permission denied";
	case SFTP_BAD_MESSAGE:
		return "Bad message";
	case SFTP_UNSUPPORTED:
		return "Operation unsupported";
	case SFTP_FAILURE:
		break;
	}
	return "Failure";
}
