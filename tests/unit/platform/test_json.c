/* SPDX-License-Identifier: Apache-2.0
 *
 * What strict JSON refuses, and the sentences it refuses with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/json.h"

static json_t *load(const char *text)
{
	json_t *value = json_load_strict(text, strlen(text), 4096, NULL);

	assert_non_null(value);
	return value;
}

static void load_refuses(void **state)
{
	static const char *const table[] = {
		"",	    "{",	  "{\"a\":1,\"a\":1}", "{\"a\":{\"b\":1,\"b\":2}}",
		"{} x",	    "{\"a\":1,}", "{'a':1}",	       "{\"a\":\"\\u0000\"}",
		"{a:1}",    "// x\n{}",	  "{\"a\":01}",	       "{\"a\":99999999999999999999}",
		"\"text\"", "1",	  "{\"a\":\"\xff\"}",  "{\"a\":NaN}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct error err = {0};

		assert_null(json_load_strict(table[i], strlen(table[i]), 4096, &err));
		assert_int_equal(err.code, -EINVAL);
		assert_non_null(strstr(err.text, "line "));
	}
}

static void load_names_line_and_column(void **state)
{
	static const char text[] = "{\n  \"a\": 1,\n  \"a\": 2\n}";
	struct error err = {0};

	(void)state;
	assert_null(json_load_strict(text, sizeof(text) - 1, 4096, &err));
	assert_non_null(strstr(err.text, "line 3 column"));
}

static void load_is_bounded(void **state)
{
	char deep[4096];
	struct error err = {0};
	json_t *value;

	(void)state;
	assert_null(json_load_strict("{}", 2, 1, &err));
	assert_int_equal(err.code, -EMSGSIZE);

	memset(deep, '[', 64);
	memset(deep + 64, ']', 64);
	value = json_load_strict(deep, 128, sizeof(deep), NULL);
	assert_non_null(value);
	json_decref(value);
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	assert_null(json_load_strict(deep, 130, sizeof(deep), &err));
	assert_int_equal(err.code, -EMSGSIZE);
	/* Strings end, so that what follows them counts. */
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "[\"x\",", 5);
	assert_null(json_load_strict(deep, 5 + 64, sizeof(deep), &err));
	assert_int_equal(err.code, -EMSGSIZE);
	/* Brackets inside strings don't count, escaped quotes don't end strings. */
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "[\"\\\"", 4);
	memcpy(deep + 200, "\"]", 2);
	value = json_load_strict(deep, 202, sizeof(deep), NULL);
	assert_non_null(value);
	json_decref(value);
}

static void getters_check_type_and_bounds(void **state)
{
	json_t *obj = load("{\"s\":\"text\",\"i\":5,\"b\":true,\"n\":null,\"r\":1.0,"
			   "\"a\":[1,2],\"o\":{}}");
	struct error err = {0};
	const char *text = NULL;
	json_t *child = NULL;
	char out[5] = "zzzz";
	int64_t i = 77;
	bool b = false;

	(void)state;
	assert_int_equal(json_get_string(obj, "s", out, 5, &err), 0);
	assert_string_equal(out, "text");
	memcpy(out, "zzzz", 5);
	assert_int_equal(json_get_string(obj, "s", out, 4, &err), -EMSGSIZE);
	assert_non_null(strstr(err.text, "\"s\""));
	assert_int_equal(json_get_string(obj, "i", out, 5, NULL), -EINVAL);
	assert_int_equal(json_get_string(obj, "x", out, 5, &err), -ENOENT);
	assert_non_null(strstr(err.text, "\"x\""));
	assert_string_equal(out, "zzzz");
	assert_int_equal(json_get_text(obj, "s", 4, &text, NULL), 0);
	assert_string_equal(text, "text");
	assert_int_equal(json_get_text(obj, "s", 3, &text, NULL), -EMSGSIZE);

	assert_int_equal(json_get_int(obj, "i", 6, 9, &i, NULL), -EMSGSIZE);
	assert_int_equal(json_get_int(obj, "i", -9, 4, &i, NULL), -EMSGSIZE);
	assert_int_equal(json_get_int(obj, "r", 0, 9, &i, NULL), -EINVAL);
	assert_int_equal(json_get_int(obj, "b", 0, 9, &i, NULL), -EINVAL);
	assert_int_equal(i, 77);
	assert_int_equal(json_get_int(obj, "i", 5, 5, &i, NULL), 0);
	assert_int_equal(i, 5);

	assert_int_equal(json_get_bool(obj, "b", &b, NULL), 0);
	assert_true(b);
	assert_int_equal(json_get_bool(obj, "n", &b, NULL), -EINVAL);
	assert_int_equal(json_get_bool(obj, "i", &b, NULL), -EINVAL);

	assert_int_equal(json_get_array(obj, "a", 1, &child, NULL), -EMSGSIZE);
	assert_int_equal(json_get_array(obj, "o", 1, &child, NULL), -EINVAL);
	assert_null(child);
	assert_int_equal(json_get_array(obj, "a", 2, &child, NULL), 0);
	assert_int_equal(json_get_object(child, "o", &child, NULL), -EINVAL);
	assert_int_equal(json_get_object(obj, "o", &child, NULL), 0);
	assert_int_equal(json_get_object(obj, "a", &child, NULL), -EINVAL);
	assert_int_equal(json_get_object(NULL, "a", &child, NULL), -EINVAL);
	json_decref(obj);
}

static void unknown_keys_are_named(void **state)
{
	static const char *const keys[] = {"a", "b", NULL};
	json_t *good = load("{\"b\":1}"), *bad = load("{\"a\":1,\"colour\":2}");
	struct error err = {0};

	(void)state;
	assert_int_equal(json_only_keys(good, keys, &err), 0);
	assert_int_equal(json_only_keys(bad, keys, &err), -EINVAL);
	assert_non_null(strstr(err.text, "colour"));
	json_decref(good);
	json_decref(bad);
}

static void canonical_form(void **state)
{
	json_t *a = load("{ \"b\" : [1, true, null], \"a\" : \"\\u00e4\\n\" }");
	size_t len = 0;
	char *text = json_canonical(a, &len);

	(void)state;
	assert_string_equal(text, "{\"a\":\"\xc3\xa4\\n\",\"b\":[1,true,null]}");
	assert_int_equal(len, strlen(text));
	free(text);
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_refuses),
		cmocka_unit_test(load_names_line_and_column),
		cmocka_unit_test(load_is_bounded),
		cmocka_unit_test(getters_check_type_and_bounds),
		cmocka_unit_test(unknown_keys_are_named),
		cmocka_unit_test(canonical_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
