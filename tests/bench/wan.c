/*
 * A wide-area link between two network namespaces, for kernels without netem: each packet is read from the TUN device of one
 * namespace, lost or not, queued for the rate of the link, and written to the other device after the delay.
 *
 * wan NAMESPACE NAMESPACE DELAY_MS LOSS_PERCENT RATE_MBIT QUEUE_KB
 *
 * Delay and loss hold for each direction. The addresses are 10.99.0.1 and 10.99.0.2. It says "up" when the link is there,
 * and ends when its stdin does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 65536, MTU = 1600, BATCH = 64 };

static const uint64_t SECOND = 1000000000;

struct packet {
	uint64_t due; /* ns */
	ssize_t length;
	unsigned char data[MTU];
};

/* One direction: what was read and is not written yet, oldest first. */
struct direction {
	int from, to;
	struct packet *packets;
	unsigned head, tail;
	uint64_t free; /* when the last packet has left the queue, ns */
};

/* What the user asked for. */
static uint64_t delay; /* ns */
static double loss;    /* share of packets */
static double rate;    /* bits a second */
static double room;    /* bytes of the queue */

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* A TUN device in the namespace, with its own address and that of the other end. */
static int open_device(const char *namespace, const char *own, const char *other) {
	char path[256], command[256];
	snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
	int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		fail(path);
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	struct ifreq request = { .ifr_name = "wan0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	if (device < 0 || ioctl(device, TUNSETIFF, &request))
		fail("/dev/net/tun");
	snprintf(command, sizeof command,
	    "ip link set lo up && ip link set wan0 up txqueuelen 2000 && ip addr add %s peer %s dev wan0", own, other);
	if (system(command) || setns(home, CLONE_NEWNET))
		fail("ip");
	close(home);
	close(there);
	return device;
}

static void take(struct direction *d) {
	for (int count = 0; count < BATCH && d->tail - d->head < SLOTS; count++) {
		struct packet *packet = &d->packets[d->tail % SLOTS];
		packet->length = read(d->from, packet->data, MTU);
		if (packet->length <= 0)
			return;
		if (drand48() < loss)
			continue;
		uint64_t time = now();
		if (d->free < time)
			d->free = time;
		if ((d->free - time) / 1e9 * rate / 8 + packet->length > room)
			continue; /* the queue is full */
		d->free += packet->length * 8 / rate * 1e9;
		packet->due = d->free + delay;
		d->tail++;
	}
}

static void give(struct direction *d) {
	uint64_t time = now();
	while (d->head != d->tail && d->packets[d->head % SLOTS].due <= time) {
		struct packet *packet = &d->packets[d->head % SLOTS];
		if (write(d->to, packet->data, packet->length) < 0 && errno == EAGAIN)
			return;
		d->head++;
	}
}

/* Until something can be read, or the next packet is due. */
static void wait_for(struct direction *d, struct pollfd *inputs) {
	uint64_t time = now(), next = time + SECOND - 1;
	for (int i = 0; i < 2; i++)
		if (d[i].head != d[i].tail && d[i].packets[d[i].head % SLOTS].due < next)
			next = d[i].packets[d[i].head % SLOTS].due;
	struct timespec pause = { 0, next > time ? next - time : 0 };
	ppoll(inputs, 3, &pause, NULL);
}

int main(int count, char **words) {
	if (count != 7)
		return 2;
	int one = open_device(words[1], "10.99.0.1", "10.99.0.2"), other = open_device(words[2], "10.99.0.2", "10.99.0.1");
	delay = atof(words[3]) * 1e6;
	loss = atof(words[4]) / 100;
	rate = atof(words[5]) * 1e6;
	room = atof(words[6]) * 1024;
	struct direction d[2] = { { .from = one, .to = other }, { .from = other, .to = one } };
	for (int i = 0; i < 2; i++)
		if (!(d[i].packets = malloc(sizeof(struct packet) * SLOTS)))
			fail("memory");
	puts("up");
	fflush(stdout);
	struct pollfd inputs[3] = { { one, POLLIN, 0 }, { other, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	while (wait_for(d, inputs), !inputs[2].revents)
		for (int i = 0; i < 2; i++) {
			take(&d[i]);
			give(&d[i]);
		}
	return 0;
}
