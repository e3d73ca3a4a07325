// SPDX-License-Identifier: Apache-2.0
//
// floor ROOT VERSION reads for each line of its input once what nobody can do
// without who wants to know about OOMs, and prints the microseconds of CPU
// (user and system) that this took: it opens, reads and closes oom_score,
// oom_score_adj and statm of all processes, memory.stat, usage and limit of all
// groups below ROOT, and cgroup.procs and the counter of kills of those without
// children. Nothing is parsed; finding out what there
// is is not counted.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char **paths;
static int count, room, version, groups, processes;
static char buf[65536];

static void add(const char *dir, const char *name) {
	char path[1024];
	if (count == room)
		paths = realloc(paths, (room = room ? room * 2 : 1024) * sizeof *paths);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	paths[count++] = strdup(path);
}

static int visit(const char *dir, const struct stat *st, int type, struct FTW *at) {
	if (type != FTW_D || at->level < 1)
		return 0;
	groups++;
	add(dir, "memory.stat");
	add(dir, version == 1 ? "memory.usage_in_bytes" : "memory.current");
	add(dir, version == 1 ? "memory.limit_in_bytes" : "memory.max");
	if (st->st_nlink == 2) {
		add(dir, "cgroup.procs");
		add(dir, version == 1 ? "memory.oom_control" : "memory.events");
	}
	return 0;
}

static void list(const char *root) {
	while (count > 0)
		free(paths[--count]);
	groups = processes = 0;
	nftw(root, visit, 64, FTW_PHYS);
	DIR *proc = opendir("/proc");
	for (struct dirent *e; (e = readdir(proc));) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		char dir[300];
		snprintf(dir, sizeof dir, "/proc/%s", e->d_name);
		processes++;
		add(dir, "oom_score");
		add(dir, "oom_score_adj");
		add(dir, "statm");
	}
	closedir(proc);
}

static double cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	version = atoi(argv[2]);
	char line[16];
	while (fgets(line, sizeof line, stdin)) {
		list(argv[1]);
		double start = cpu();
		for (int i = 0; i < count; i++) {
			long fd = syscall(SYS_openat, AT_FDCWD, paths[i], O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (syscall(SYS_read, fd, buf, sizeof buf) < 0)
				buf[0] = 0;
			syscall(SYS_close, fd);
		}
		printf("%.0f %d %d\n", cpu() - start, groups, processes);
		fflush(stdout);
	}
	return 0;
}
