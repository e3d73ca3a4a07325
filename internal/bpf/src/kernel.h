/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */

/* What the programs read of the kernel, and no more: the fields, not where they
   are. That is found out when a program is loaded, from the types of the kernel
   that runs (CO-RE). A type that has another form in other kernels is here once
   for each, with a suffix after three underscores. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef short s16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define always_inline inline __attribute__((always_inline))

/* Maps are described by the types of a struct's fields. */
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name

enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_LRU_HASH = 9, BPF_MAP_TYPE_RINGBUF = 27 };

/* The kernel's functions by their numbers, see bpf-helpers(7). */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*const bpf_seq_write)(void *seq, const void *data, u32 len) = (void *)127;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

/* Whether the kernel that runs has a field, and the value of its enumerator. */
#define has_field(field) __builtin_preserve_field_info(field, 2)
#define enum_value(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

#define read(to, from) bpf_probe_read_kernel(&(to), sizeof(to), from)

/* Keeps the compiler from deriving bounds that the verifier can't follow. */
#define opaque(variable) asm volatile("" : "+r"(variable))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_elem_dir {
	unsigned long subdirs;
};

struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	union {
		struct kernfs_elem_dir dir;
	};
	u64 id;
};

struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
	unsigned int flags;
};

/* It has two dimensions, which the kernel's types tell as one. The first row is what the
   files show. */
struct psi_group {
	u8 enabled;
	u64 total[12];
};

struct cgroup {
	struct kernfs_node *kn;
	struct psi_group *psi;
	struct cgroup_subsys_state *subsys[16];
};

enum cgroup_subsys_id { memory_cgrp_id = 4 };

struct css_set {
	struct cgroup_subsys_state *subsys[16];
};

typedef struct {
	s64 counter;
} atomic_long_t;

struct page_counter {
	atomic_long_t usage;
	unsigned long failcnt;
	unsigned long watermark;
	unsigned long min;
	unsigned long high;
	unsigned long max;
};

/* css is its first member. */
struct mem_cgroup {
	struct page_counter memory;
	struct page_counter swap;
	struct page_counter memsw;
	struct page_counter kmem;
	atomic_long_t memory_events[6];
	atomic_long_t memory_events_local[6];
	u8 oom_group;
	int swappiness;
	int under_oom;
	int oom_kill_disable;
};

struct percpu_counter {
	s64 count;
};

struct mm_rss_stat {
	atomic_long_t count[4];
};

typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;

struct mm_struct {
	struct percpu_counter rss_stat[4];
	unsigned long total_vm;
	atomic_long_t pgtables_bytes;
	mm_flags_t flags;
};

struct mm_struct___before_6_18 {
	unsigned long flags;
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

struct signal_struct {
	short oom_score_adj;
};

typedef struct {
	u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct completion;

struct task_struct {
	unsigned int flags;
	struct mm_struct *mm;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct completion *vfork_done;
	u64 start_boottime;
	const struct cred *real_cred;
	char comm[16];
	struct signal_struct *signal;
	struct css_set *cgroups;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop
