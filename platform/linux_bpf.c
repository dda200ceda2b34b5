/* SPDX-License-Identifier: Apache-2.0
 *
 * Steering by BPF: bpf(2), socket(7) SO_ATTACH_REUSEPORT_CBPF, TUNSETSTEERINGEBPF.
 */
#include "platform/bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/file.h"

enum {
	MAX_PREFIXES = 1 << 20,
	LICENSE_BYTES = 16,
	MAX_TEST_PACKET = 2048,
	ETHERNET_BYTES = 14,
};

/* ---- UDP: classic BPF, whose loads are big-endian and relative to the payload ---- */

#define TYPE_RESPONSE 0x02000000u
#define TYPE_COOKIE   0x03000000u
#define TYPE_DATA     0x04000000u

int bpf_reuseport_attach(int fd, unsigned count)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TYPE_DATA, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TYPE_COOKIE, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TYPE_RESPONSE, 4, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffffu), /* no such socket: the hash decides */
		/* data and cookie: the receiver is at 4, its high byte at 7 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 7),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
		BPF_STMT(BPF_RET | BPF_A, 0),
		/* response: the receiver is at 8 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 11),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (count == 0)
		return -EINVAL;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

/* ---- TUN: eBPF ---- */

struct key4 {
	uint32_t bits;
	uint8_t addr[4];
};

struct key6 {
	uint32_t bits;
	uint8_t addr[16];
};

static int call(int command, union bpf_attr *attr)
{
	long r = syscall(__NR_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

static int new_map(size_t key_bytes)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_LPM_TRIE;
	attr.key_size = (uint32_t)key_bytes;
	attr.value_size = sizeof(uint32_t);
	attr.max_entries = MAX_PREFIXES;
	attr.map_flags = BPF_F_NO_PREALLOC;
	return call(BPF_MAP_CREATE, &attr);
}

#define INSN(c, d, s, o, i)                                                                        \
	{                                                                                          \
		.code = (uint8_t)(c), .dst_reg = (d), .src_reg = (s), .off = (int16_t)(o),         \
		.imm = (i)                                                                         \
	}
#define MOV_REG(d, s)	      INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i)	      INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD_IMM(d, i)	      INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define SHIFT_RIGHT(d, i)     INSN(BPF_ALU64 | BPF_RSH | BPF_K, d, 0, 0, i)
#define STORE_IMM32(d, o, i)  INSN(BPF_ST | BPF_MEM | BPF_W, d, 0, o, i)
#define LOAD8(d, s, o)	      INSN(BPF_LDX | BPF_MEM | BPF_B, d, s, o, 0)
#define LOAD32(d, s, o)	      INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define JUMP_EQUAL(d, i, o)   INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)
#define JUMP_UNEQUAL(d, i, o) INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define CALL(f)		      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT		      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP(d, fd)	      INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
/* bytes[len] of the packet from at on, to the stack at to */
#define LOAD_BYTES(at, to, len)                                                                    \
	MOV_REG(1, 6), MOV_IMM(2, at), MOV_REG(3, 10), ADD_IMM(3, to), MOV_IMM(4, len),            \
		CALL(BPF_FUNC_skb_load_bytes)

static int load_program(int map4, int map6)
{
	static const char license[LICENSE_BYTES] = "Apache-2.0";
	const struct bpf_insn code[] = {
		MOV_REG(6, 1), /* 0: the packet, from its IP header on */
		LOAD_BYTES(0, -1, 1),
		JUMP_UNEQUAL(0, 0, 28), /* 7: to the end */
		LOAD8(7, 10, -1),
		SHIFT_RIGHT(7, 4),
		JUMP_EQUAL(7, 6, 12), /* 10: to 23 */
		JUMP_UNEQUAL(7, 4, 24),
		STORE_IMM32(10, -8, 32), /* 12: struct key4 at -8 */
		LOAD_BYTES(16, -4, 4),
		JUMP_UNEQUAL(0, 0, 16), /* 19 */
		MAP(1, map4),
		INSN(BPF_JMP | BPF_JA, 0, 0, 15, 0), /* 22: to 38 */
		STORE_IMM32(10, -20, 128),	     /* 23: struct key6 at -20 */
		LOAD_BYTES(24, -16, 16),
		JUMP_UNEQUAL(0, 0, 5), /* 30: to the end */
		MAP(1, map6),
		MOV_REG(2, 10), /* 33 */
		ADD_IMM(2, -20),
		INSN(BPF_JMP | BPF_JA, 0, 0, 4, 0), /* 35: to 40 */
		MOV_IMM(0, 0),			    /* 36: nobody's */
		EXIT,
		MOV_REG(2, 10), /* 38 */
		ADD_IMM(2, -8),
		CALL(BPF_FUNC_map_lookup_elem), /* 40 */
		JUMP_EQUAL(0, 0, -6),		/* 41: to 36 */
		LOAD32(0, 0, 0),
		EXIT,
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(code[0]);
	attr.license = (uint64_t)(uintptr_t)license;
	return call(BPF_PROG_LOAD, &attr);
}

int bpf_steer_new(int *ret_map4, int *ret_map6, int *ret_program, struct error *err)
{
	int map4 = new_map(sizeof(struct key4));
	int map6 = map4 < 0 ? map4 : new_map(sizeof(struct key6));
	int program = map6 < 0 ? map6 : load_program(map4, map6);

	if (program < 0) {
		if (map6 >= 0)
			file_close(&map6);
		if (map4 >= 0)
			file_close(&map4);
		return error_set(err, program,
				 "the kernel takes no program that spreads packets: %s",
				 strerror(-program));
	}
	*ret_map4 = map4;
	*ret_map6 = map6;
	*ret_program = program;
	return 0;
}

int bpf_steer_attach(int tun_fd, int program)
{
	return ioctl(tun_fd, TUNSETSTEERINGEBPF, &program) < 0 ? -errno : 0;
}

/* Both kinds of key begin alike. */
static void fill_key(struct key6 *key, const struct ip_prefix *prefix)
{
	memset(key, 0, sizeof(*key));
	key->bits = prefix->bits;
	memcpy(key->addr, prefix->addr.bytes, prefix->addr.family == 4 ? 4 : 16);
}

int bpf_steer_set(int map, const struct ip_prefix *prefix, unsigned queue)
{
	uint32_t value = queue;
	union bpf_attr attr;
	struct key6 key;

	fill_key(&key, prefix);
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)&key;
	attr.value = (uint64_t)(uintptr_t)&value;
	attr.flags = BPF_ANY;
	return call(BPF_MAP_UPDATE_ELEM, &attr);
}

void bpf_steer_remove(int map, const struct ip_prefix *prefix)
{
	union bpf_attr attr;
	struct key6 key;

	fill_key(&key, prefix);
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)&key;
	/* What is not there needs not go; what stays leads to a shard that knows better. */
	if (call(BPF_MAP_DELETE_ELEM, &attr) < 0)
		return;
}

int bpf_steer_test(int program, const void *packet, size_t len)
{
	uint8_t frame[ETHERNET_BYTES + MAX_TEST_PACKET] = {0};
	union bpf_attr attr;
	int r;

	if (len > MAX_TEST_PACKET)
		return -EMSGSIZE;
	memcpy(frame + ETHERNET_BYTES, packet, len);
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)program;
	attr.test.data_in = (uint64_t)(uintptr_t)frame;
	attr.test.data_size_in = (uint32_t)(ETHERNET_BYTES + len);
	r = call(BPF_PROG_TEST_RUN, &attr);
	return r < 0 ? r : (int)attr.test.retval;
}
