/* SPDX-License-Identifier: Apache-2.0
 *
 * The state directory: STATE (root, 0700) with root/ for the broker and main/ for main, and the pin
 * of the control server's signing key, which is believed only as far as root chose that server.
 */
#include "daemon/broker_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/signed.h"
#include "platform/file.h"
#include "platform/log.h"

/* An existing folder with other things in it is not ours to narrow. */
static int check_foreign(const char *path, struct error *err)
{
	bool empty = true, ours = false;
	const struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return errno == ENOENT ? 0
				       : error_set(err, -errno, "cannot open %s: %s", path,
						   strerror(errno));
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		empty = false;
		ours = ours || strcmp(entry->d_name, "root") == 0;
	}
	closedir(dir);
	if (empty || ours)
		return 0;
	return error_set(err, -EEXIST,
			 "%s holds something else than warrend's state: choose another --state-dir",
			 path);
}

static int open_dir(const char *parent, const char *name, uid_t uid, gid_t gid, int *ret_fd,
		    struct error *err)
{
	char path[320];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", parent, name);
	rc = file_ensure_dir(path, 0700, uid, gid);
	if (rc < 0)
		return error_set(err, rc, "cannot make %s: %s", path, strerror(-rc));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

static int take_lock(struct broker *b, const char *path, struct error *err)
{
	b->lock = openat(b->root_dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->lock < 0)
		return error_set(err, -errno, "cannot make %s/root/lock: %s", path,
				 strerror(errno));
	if (flock(b->lock, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, -EADDRINUSE,
				 "another warrend uses the state directory %s: stop it or choose "
				 "another --state-dir",
				 path);
	return 0;
}

int broker_state_open(struct broker *b, struct error *err)
{
	const char *path = b->options->state_dir;
	uid_t uid = b->privileged ? 0 : (uid_t)-1;
	gid_t gid = b->privileged ? 0 : (gid_t)-1;
	char root[300];
	int rc;

	rc = check_foreign(path, err);
	if (rc < 0)
		return rc;
	rc = file_make_dirs(path, 0700);
	if (rc == 0)
		rc = file_ensure_dir(path, 0700, uid, gid);
	if (rc < 0)
		return error_set(err, rc, "cannot make the state directory %s: %s%s", path,
				 strerror(-rc),
				 b->privileged ? "" : "; without root choose one with --state-dir");
	rc = open_dir(path, "root", uid, gid, &b->root_dir, err);
	if (rc == 0)
		rc = take_lock(b, path, err);
	if (rc == 0)
		rc = open_dir(path, "main", b->privileged ? b->main_uid : uid,
			      b->privileged ? b->main_gid : gid, &b->main_dir, err);
	if (rc < 0)
		return rc;
	snprintf(root, sizeof(root), "%s/root", path);
	rc = switches_load(b->root_dir, root, &b->state, err);
	if (rc == 0)
		rc = break_glass_load(b->root_dir, root, &b->break_glass, err);
	if (rc == 0)
		rc = hostkey_load(HOSTKEY_PATH, b->root_dir, root, &b->hostkey, err);
	return rc;
}

/* "n_…", "p_…": control/PROTOCOL.md. */
static bool identifier(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

	return text[0] && text[strspn(text, allowed)] == '\0';
}

int broker_state_pin(struct broker *b, const struct switches_pin *pin, struct error *err)
{
	const struct switches_control *c = &b->state.control;
	struct switches_pin *old = &b->state.pin;
	uint8_t fingerprint[SIGNED_FINGERPRINT_BYTES];
	struct switches_pin new = *pin;
	bool known = old->set || old->left;
	bool same_key = known && memcmp(old->signing_key, pin->signing_key,
					sizeof(old->signing_key)) == 0;
	bool same_peer = same_key && strcmp(old->network, pin->network) == 0 &&
			 strcmp(old->peer_id, pin->peer_id) == 0;
	int rc;

	if (!identifier(pin->network) || !identifier(pin->peer_id))
		return error_set(err, -EINVAL, "the control server gave a malformed name");
	if (c->url[0] == '\0')
		return error_set(
			err, -EPERM,
			"no control server was chosen: run `warren up --control URL` as root");
	signed_fingerprint(pin->signing_key, fingerprint);
	if (c->has_fingerprint && memcmp(fingerprint, c->fingerprint, sizeof(fingerprint)) != 0)
		return error_set(
			err, -EPERM,
			"the control server at %s shows another signing key than the setup key "
			"or URL promised: do not trust it, and ask its administrator",
			c->url);
	if (!c->has_fingerprint && known && !same_key)
		return error_set(
			err, -EPERM,
			"the control server at %s shows another signing key than before: run "
			"`warren up --control URL#FINGERPRINT` as root if that is right",
			c->url);
	if (same_peer && old->set)
		return 0;
	/* Who this machine is decides whose SSH permissions and certificates it believes: another
	 * peer's may let in people whom root never meant. No name: root said that it may change. */
	new.held = known && old->network[0] != '\0' && (!same_peer || old->held);
	rc = switches_save_pin(b->root_dir, &new);
	if (rc < 0)
		return error_set(err, rc, "cannot save the control server's key: %s",
				 strerror(-rc));
	*old = new;
	broker_object_forget(b); /* it was another machine's, or another network's */
	log_info("pinned the control server's signing key", "network=%s peer=%s ssh_held=%d",
		 pin->network, pin->peer_id, new.held);
	return 0;
}

int broker_state_leave(struct broker *b, struct error *err)
{
	struct switches_pin left = b->state.pin;
	int rc;

	left.left = left.set || left.left;
	left.set = false;
	rc = switches_save_pin(b->root_dir, &left);
	if (rc < 0)
		return error_set(err, rc, "cannot save that this machine left: %s", strerror(-rc));
	b->state.pin = left;
	broker_object_forget(b);
	return 0;
}

int broker_state_release(struct broker *b, struct error *err)
{
	struct switches_pin new = b->state.pin;
	int rc;

	if (!new.left && !new.held)
		return 0;
	new.held = false;
	if (new.left)
		new.network[0] = new.peer_id[0] = '\0';
	rc = switches_save_pin(b->root_dir, &new);
	if (rc < 0)
		return error_set(err, rc, "cannot save who this machine may be: %s", strerror(-rc));
	b->state.pin = new;
	return 0;
}

int broker_state_forget(struct broker *b, struct error *err)
{
	const struct switches_pin none = {0};
	int rc = switches_save_pin(b->root_dir, &none);

	if (rc < 0)
		return error_set(err, rc, "cannot remove the control server's key: %s",
				 strerror(-rc));
	b->state.pin = none;
	broker_object_forget(b);
	return 0;
}
