/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */

/* Lists the processes that have memory, with what the OOM killer ranks them by. */

#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	PF_KTHREAD = 0x00200000,
	MMF_OOM_SKIP = 1 << 21,

	LEADER_IS_GONE = 1, /* a thread of it is told of, maybe more than one. */
	OOM_SKIP = 2,       /* its memory was reaped already, or is on its way. */
	IN_VFORK = 4,       /* it has its parent's memory. */
};

/* One process. Go's decoder has the offsets. */
struct process {
	u64 start_ns; /* since boot. */
	s64 rss[4];      /* pages: file, anon, swap, shmem. */
	u64 page_tables; /* bytes. */
	u32 tgid;
	s16 adj;
	u16 flags;
	char comm[16];
};

/* Where process.go looks for them. */
#define is_at(field, at) _Static_assert(__builtin_offsetof(struct process, field) == at, #field)
is_at(start_ns, 0);
is_at(rss, 8);
is_at(page_tables, 40);
is_at(tgid, 48);
is_at(adj, 52);
is_at(flags, 54);
is_at(comm, 56);
_Static_assert(sizeof(struct process) == 72, "process");

static always_inline u64 mm_flags(struct mm_struct *mm)
{
	struct mm_struct___before_6_18 *old = (void *)mm;
	u64 flags = 0;

	if (has_field(old->flags))
		read(flags, &old->flags);
	else
		read(flags, &mm->flags.__mm_flags);
	return flags;
}

SEC("iter/task")
int processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct process p = {};
	struct mm_struct *mm;

	if (!task || task->flags & PF_KTHREAD)
		return 0;
	mm = task->mm;
	if (!mm)
		return 0;
	leader = task->group_leader;
	if (task->pid != task->tgid) {
		if (leader->mm)
			return 0;
		p.flags |= LEADER_IS_GONE;
	}
	p.tgid = task->tgid;
	p.start_ns = leader->start_boottime;
	p.adj = task->signal->oom_score_adj;
	if (mm_flags(mm) & MMF_OOM_SKIP)
		p.flags |= OOM_SKIP;
	if (task->vfork_done && task->real_parent->mm == mm)
		p.flags |= IN_VFORK;
	if (has_field(mm->rss_stat[0].count)) {
		p.rss[0] = mm->rss_stat[0].count;
		p.rss[1] = mm->rss_stat[1].count;
		p.rss[2] = mm->rss_stat[2].count;
		p.rss[3] = mm->rss_stat[3].count;
	} else {
		struct mm_struct___before_6_2 *old = (void *)mm;

		/* The verifier of 6.1 takes no array of a typedef for one of structs. */
		read(p.rss[0], &old->rss_stat.count[0].counter);
		read(p.rss[1], &old->rss_stat.count[1].counter);
		read(p.rss[2], &old->rss_stat.count[2].counter);
		read(p.rss[3], &old->rss_stat.count[3].counter);
	}
	read(p.page_tables, &mm->pgtables_bytes.counter);
	read(p.comm, &leader->comm);
	bpf_seq_write(ctx->meta->seq, &p, sizeof(p));
	return 0;
}
