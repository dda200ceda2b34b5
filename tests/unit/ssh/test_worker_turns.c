/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of channels in a turn: no channel that sends little waits for one that sends much, and
 * no download starves another, however many there are and whichever of them fills the connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ssh/worker_internal.h"

#define COUNT	 7
#define TERMINAL 6

static struct channel channels[COUNT], *order[COUNT];

static void begin(void)
{
	memset(channels, 0, sizeof(channels));
	for (size_t i = 0; i < COUNT; i++) {
		channels[i].id = (uint32_t)i;
		order[i] = &channels[i];
	}
}

/* The connection takes `room` reads of a download, then it is full. */
static void turn(int room)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (order[i]->id == TERMINAL && room > 0)
			order[i]->given += 1;
		else if (room-- > 0)
			order[i]->given += 131072;
	}
	worker_turns_order(order, COUNT);
}

static void everybody_has_a_turn(void **state)
{
	(void)state;
	for (int room = 1; room <= COUNT; room++) {
		begin();
		for (int i = 0; i < 6 * 60; i++)
			turn(room);
		/* Once all others have had their first turn it is in front for good. */
		assert_true(channels[TERMINAL].given >= 6 * 60 - 6);
		for (size_t i = 0; i + 1 < COUNT; i++)
			assert_in_range(channels[i].given / 131072, 60 * (room < 6 ? room : 6) - 1,
					60 * (room < 6 ? room : 6) + 1);
	}
}

static void keeps_the_order(void **state)
{
	const uint32_t expected[COUNT] = {0, 2, 4, 6, 1, 3, 5};

	(void)state;
	begin();
	for (size_t i = 1; i < COUNT; i += 2)
		channels[i].given = 5000;
	worker_turns_order(order, COUNT);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(order[i]->id, expected[i]);
	worker_turns_order(order, COUNT); /* nobody sent since */
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(order[i]->id, expected[i]);
	worker_turns_order(order, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_has_a_turn),
		cmocka_unit_test(keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
