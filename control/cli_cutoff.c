/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands that end what people have: disabled users, blocked identities, revoked certificates.
 */
#include <stdio.h>
#include <string.h>

#include "control/cli.h"
#include "platform/error.h"

static int set_disabled(const struct cli *cli, int disabled)
{
	return cli_plain(cli, "POST", "/v1/admin/users",
			 json_pack("{s:s,s:b}", "email", cli->args[0], "disabled", disabled));
}

int cli_user_disable(const struct cli *cli)
{
	return set_disabled(cli, 1);
}

int cli_user_enable(const struct cli *cli)
{
	return set_disabled(cli, 0);
}

int cli_identity_block(const struct cli *cli)
{
	return cli_plain(cli, "POST", "/v1/admin/identities/block",
			 json_pack("{s:s}", "identity", cli->args[0]));
}

int cli_identity_unblock(const struct cli *cli)
{
	return cli_plain(cli, "POST", "/v1/admin/identities/unblock",
			 json_pack("{s:s}", "identity", cli->args[0]));
}

static void blocked_line(const json_t *row)
{
	char since[32];

	cli_time(row, "since", "-", since);
	printf("%-40s %-10s since %s\n", cli_text(row, "identity"), cli_text(row, "reason"), since);
}

int cli_identity_list(const struct cli *cli)
{
	return cli_list(cli, "/v1/admin/identities/blocked", "blocked", blocked_line);
}

static void cert_line(const json_t *row)
{
	char issued[32];

	cli_time(row, "issued", "-", issued);
	printf("%-20s %-8s %s %s from %s as %s on %s\n", cli_text(row, "serial"),
	       cli_text(row, "state"), issued, cli_text(row, "identity"),
	       cli_text(row, "caller_name"), cli_text(row, "login"), cli_text(row, "target_name"));
}

int cli_cert_list(const struct cli *cli)
{
	char path[1024];
	int n = snprintf(path, sizeof(path), "/v1/admin/certs?limit=%.8s",
			 cli->limit ? cli->limit : "100");

	if (cli->identity && n > 0) {
		size_t at = (size_t)n;

		cli_path(path + at, sizeof(path) - at, "&identity=", cli->identity);
	}
	return cli_list(cli, path, "certs", cert_line);
}

int cli_cert_revoke(const struct cli *cli)
{
	char path[128];

	if ((cli->arg_count == 1) == (cli->identity != NULL) || cli->arg_count > 1) {
		fprintf(stderr, "warren-control: name one certificate by its serial, or a person's "
				"by --identity IDENTITY\n");
		return WARREN_EXIT_USAGE;
	}
	if (cli->identity)
		return cli_plain(cli, "POST", "/v1/admin/certs/revoke",
				 json_pack("{s:s}", "identity", cli->identity));
	if (strlen(cli->args[0]) > 20) {
		fprintf(stderr, "warren-control: \"%.40s\" is not the serial of a certificate\n",
			cli->args[0]);
		return WARREN_EXIT_USAGE;
	}
	cli_path(path, sizeof(path), "/v1/admin/certs/", cli->args[0]);
	return cli_plain(cli, "DELETE", path, NULL);
}
