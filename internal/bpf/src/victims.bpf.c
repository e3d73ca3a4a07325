/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */

/* Tells of each process that the OOM killer takes: who it is, in which memory
   cgroup, and whose allocation was the reason. The path is copied here and now,
   since the cgroup may be gone a millisecond later. */

#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	SIGKILL = 9,
	SEND_SIG_PRIV = 1, /* the sender of a signal: the kernel itself. */

	NAME = 256,   /* of a cgroup, with its end. */
	NAMES = 2048, /* of all that a path may have; a power of two. */
	DEPTH = 32,

	PATH_IS_WHOLE = 1,
};

/* One victim. The names are those of its cgroup and of the ones above it, each
   with its end, up to the root, which has none. Go's decoder has the offsets. */
struct victim {
	u64 boot_ns;
	u64 cgroup_id;
	u64 total_vm; /* pages. */
	s64 rss[4];   /* pages: file, anon, swap, shmem. */
	u64 page_tables; /* bytes. */
	u32 pid;
	u32 tgid;
	u32 uid;
	u32 trigger_pid;
	s16 adj;
	s16 trigger_adj;
	u32 flags;
	char comm[16];
	char trigger_comm[16];
	char names[NAMES + NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

/* A victim is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct victim);
} scratch SEC(".maps");

/* By the pid of the task that sent it, whom it sent the last SIGKILL. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} killed SEC(".maps");

/* How many victims did not fit into the ring. */
u64 lost;

static always_inline struct kernfs_node *parent_of(struct kernfs_node *kn)
{
	struct kernfs_node *parent = 0;

	if (has_field(kn->__parent))
		read(parent, &kn->__parent);
	else
		read(parent, &((struct kernfs_node___before_6_15 *)kn)->parent);
	return parent;
}

/* Returns how many bytes the names take. */
static always_inline u64 copy_names(struct victim *v, struct kernfs_node *kn)
{
	u64 used = 0;

	for (int i = 0; i < DEPTH && kn; i++) {
		struct kernfs_node *parent = parent_of(kn);
		const char *name = 0;
		long n;

		if (!parent) {
			v->flags |= PATH_IS_WHOLE;
			break;
		}
		read(name, &kn->name);
		opaque(used);
		used &= NAMES - 1;
		n = bpf_probe_read_kernel_str(&v->names[used], NAME, name);
		opaque(n);
		if (n <= 0 || n > NAME)
			break;
		used += n;
		if (used >= NAMES)
			break;
		kn = parent;
	}
	return used;
}

static always_inline struct kernfs_node *memory_cgroup(struct task_struct *task)
{
	struct cgroup_subsys_state *css = 0;
	struct css_set *set = 0;
	struct cgroup *cgroup = 0;
	struct kernfs_node *kn = 0;
	struct cgroup_subsys_state **all;

	read(set, &task->cgroups);
	all = (void *)&set->subsys;
	read(css, all + enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	read(cgroup, &css->cgroup);
	read(kn, &cgroup->kn);
	return kn;
}

static always_inline s16 oom_score_adj(struct task_struct *task)
{
	struct signal_struct *signal = 0;
	s16 adj = 0;

	read(signal, &task->signal);
	read(adj, &signal->oom_score_adj);
	return adj;
}

static always_inline void copy_sizes(struct victim *v, struct task_struct *task)
{
	struct mm_struct *mm = 0;

	read(mm, &task->mm);
	read(v->total_vm, &mm->total_vm);
	read(v->page_tables, &mm->pgtables_bytes.counter);
	if (has_field(mm->rss_stat[0].count)) {
		read(v->rss[0], &mm->rss_stat[0].count);
		read(v->rss[1], &mm->rss_stat[1].count);
		read(v->rss[2], &mm->rss_stat[2].count);
		read(v->rss[3], &mm->rss_stat[3].count);
	} else {
		struct mm_struct___before_6_2 *old = (void *)mm;

		read(v->rss[0], &old->rss_stat.count[0].counter);
		read(v->rss[1], &old->rss_stat.count[1].counter);
		read(v->rss[2], &old->rss_stat.count[2].counter);
		read(v->rss[3], &old->rss_stat.count[3].counter);
	}
}

static always_inline void tell(struct task_struct *task)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	const struct cred *cred = 0;
	struct kernfs_node *kn;
	struct victim *v;
	u32 zero = 0;
	u64 names;

	v = bpf_map_lookup_elem(&scratch, &zero);
	if (!v)
		return;
	v->boot_ns = bpf_ktime_get_boot_ns();
	v->flags = 0;
	read(v->pid, &task->pid);
	read(v->tgid, &task->tgid);
	read(cred, &task->real_cred);
	read(v->uid, &cred->uid.val);
	read(v->comm, &task->comm);
	v->adj = oom_score_adj(task);
	read(v->trigger_pid, &current->pid);
	read(v->trigger_comm, &current->comm);
	v->trigger_adj = oom_score_adj(current);
	copy_sizes(v, task);
	kn = memory_cgroup(task);
	read(v->cgroup_id, &kn->id);
	names = copy_names(v, kn);
	opaque(names);
	if (names > NAMES + NAME)
		return;
	if (bpf_ringbuf_output(&events, v, __builtin_offsetof(struct victim, names) + names, 0))
		__sync_fetch_and_add(&lost, 1);
}

/* Where the tracepoint has the victim itself (since 6.9, and in stable kernels
   before). */
SEC("raw_tp/mark_victim")
int victim_task(u64 *ctx)
{
	tell((void *)ctx[0]);
	return 0;
}

/* Where it has only the pid: the victim is who was sent the signal just before. */
SEC("raw_tp/mark_victim")
int victim_pid(u64 *ctx)
{
	u32 pid = ctx[0], self = bpf_get_current_pid_tgid(), found = 0;
	struct task_struct *task;
	u64 *target;

	target = bpf_map_lookup_elem(&killed, &self);
	if (!target)
		return 0;
	task = (void *)*target;
	read(found, &task->pid);
	if (found == pid)
		tell(task);
	bpf_map_delete_elem(&killed, &self);
	return 0;
}

SEC("raw_tp/signal_generate")
int signal_sent(u64 *ctx)
{
	u32 self = bpf_get_current_pid_tgid();
	u64 target = ctx[2];

	if (ctx[0] == SIGKILL && ctx[1] == SEND_SIG_PRIV)
		bpf_map_update_elem(&killed, &self, &target, 0);
	return 0;
}
