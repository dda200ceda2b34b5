/* SPDX-License-Identifier: Apache-2.0
 *
 * A main for fuzz targets in builds without libFuzzer: runs the files and folders it is given, or a
 * fixed set of pseudo-random inputs, once each.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUTS = 2000, INPUT_MAX_BYTES = 2048, FILE_MAX_BYTES = 1 << 20, PATH_BYTES = 4096 };

/* A copy of exactly the size, so that sanitizers see a read behind it. */
static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (!copy)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int run_file(const char *path)
{
	uint8_t *data = malloc(FILE_MAX_BYTES);
	FILE *file = fopen(path, "rbe");
	size_t size = 0;

	if (!data)
		abort();
	if (file) {
		size = fread(data, 1, FILE_MAX_BYTES, file);
		fclose(file);
		run_one(data, size);
	} else {
		perror(path);
	}
	free(data);
	return file ? 1 : -1;
}

/* The number of inputs run, or -1. Folders are not descended into. */
static int run_path(const char *path)
{
	char name[PATH_BYTES];
	struct dirent *entry;
	int count = 0, rc = 0;
	struct stat st;
	DIR *folder;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path);
	folder = opendir(path);
	if (!folder) {
		perror(path);
		return -1;
	}
	while (rc >= 0 && (entry = readdir(folder)) != NULL) {
		int len = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);

		if (len < 0 || (size_t)len >= sizeof(name) || stat(name, &st) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		rc = run_file(name);
		count += rc > 0;
	}
	closedir(folder);
	return rc < 0 ? -1 : count;
}

/* xorshift64* (Vigna): the same inputs on every machine. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static void run_random(void)
{
	uint8_t data[INPUT_MAX_BYTES];
	uint64_t state = UINT64_C(0x57617272656e2121);

	for (int i = 0; i < INPUTS; i++) {
		size_t size = (size_t)(next_random(&state) % (INPUT_MAX_BYTES + 1));

		/* Half of them short, where the interesting lengths are. */
		if (i % 2 == 0)
			size %= 129;
		for (size_t at = 0; at < size; at++)
			data[at] = (uint8_t)(next_random(&state) >> 32);
		run_one(data, size);
	}
}

int main(int argc, char **argv)
{
	int count = 0;

	if (argc < 2) {
		run_random();
		printf("ran %d pseudo-random inputs\n", INPUTS);
		return 0;
	}
	for (int i = 1; i < argc; i++) {
		int rc = run_path(argv[i]);

		if (rc < 0)
			return 1;
		count += rc;
	}
	printf("ran %d inputs\n", count);
	return 0;
}
