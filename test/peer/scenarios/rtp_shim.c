/*
 * Preloaded into sipp 3.6 so that its key presses reach the far end as a real
 * phone's do: from the media socket, in the voice stream's SSRC, sequence and
 * clock. Left alone, play_pcap_audio opens a raw socket for each press (each of
 * which is handed a copy of every datagram of the address) and sends under a
 * second SSRC. State is kept by remote port, so it serves sockets per leg.
 *
 * Build: gcc -O2 -shared -fPIC -o rtp_shim.so rtp_shim.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS = 1 << 20, HEADER = 12, VOICE = HEADER + 160 };

static int (*real_socket)(int, int, int);
static int (*real_bind)(int, const struct sockaddr *, socklen_t);
static int (*real_close)(int);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

static int media_socket[65536];   /* by local port: descriptor + 1 */
static unsigned char is_raw[FDS]; /* descriptors that stand for sipp's raw sockets */

/* The voice stream last sent to a remote port. */
static struct stream {
	uint32_t ssrc, now, key_start;
	uint16_t sequence, inserted;
	int alive;
} streams[65536];

__attribute__((constructor)) static void find_originals(void)
{
	real_socket = dlsym(RTLD_NEXT, "socket");
	real_bind = dlsym(RTLD_NEXT, "bind");
	real_close = dlsym(RTLD_NEXT, "close");
	real_sendto = dlsym(RTLD_NEXT, "sendto");
}

static uint32_t get32(const unsigned char *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static uint16_t get16(const unsigned char *p) { uint16_t v; memcpy(&v, p, 2); return ntohs(v); }
static void put32(unsigned char *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); }
static void put16(unsigned char *p, uint16_t v) { v = htons(v); memcpy(p, &v, 2); }

int socket(int domain, int type, int protocol)
{
	if (domain == AF_INET && (type & 0xf) == SOCK_RAW && protocol == IPPROTO_UDP) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd >= 0 && fd < FDS)
			is_raw[fd] = 1;
		return fd;
	}
	return real_socket(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (fd >= 0 && fd < FDS && is_raw[fd])
		return 0;
	int result = real_bind(fd, addr, len);
	int type = 0;
	socklen_t size = sizeof type;
	if (result == 0 && addr && addr->sa_family == AF_INET &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM)
		media_socket[ntohs(((const struct sockaddr_in *)addr)->sin_port)] = fd + 1;
	return result;
}

/* A key packet, as sipp hands it to its raw socket: UDP header and RTP. */
static ssize_t send_key(const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	struct udphdr udp;
	struct sockaddr_in dst;
	unsigned char packet[2048];
	size_t size = len - sizeof udp;

	if (len < sizeof udp || size > sizeof packet || !to || to_len < sizeof dst || to->sa_family != AF_INET) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&udp, data, sizeof udp);
	memcpy(&dst, to, sizeof dst);
	memcpy(packet, (const char *)data + sizeof udp, size);
	dst.sin_port = udp.uh_dport;
	int fd = media_socket[ntohs(udp.uh_sport)] - 1;
	if (fd < 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	struct stream *s = &streams[ntohs(udp.uh_dport)];
	if (size >= HEADER && s->alive) {
		if (packet[1] & 0x80) /* the marker: a press begins */
			s->key_start = s->now + 160;
		s->sequence++;
		s->inserted++;
		s->now += 160;
		put16(packet + 2, s->sequence);
		put32(packet + 4, s->key_start);
		put32(packet + 8, s->ssrc);
	}
	ssize_t sent = real_sendto(fd, packet, size, flags, (struct sockaddr *)&dst, sizeof dst);
	return sent < 0 ? sent : sent + (ssize_t)sizeof udp;
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	if (fd >= 0 && fd < FDS && is_raw[fd])
		return send_key(data, len, flags, to, to_len);
	if (len != VOICE || !to || to->sa_family != AF_INET || *(const unsigned char *)data != 0x80)
		return real_sendto(fd, data, len, flags, to, to_len);

	unsigned char packet[VOICE];
	struct stream *s = &streams[ntohs(((const struct sockaddr_in *)to)->sin_port)];
	memcpy(packet, data, VOICE);
	if (!s->alive || s->ssrc != get32(packet + 8)) {
		s->ssrc = get32(packet + 8);
		s->inserted = 0;
		s->alive = 1;
	}
	s->sequence = get16(packet + 2) + s->inserted;
	s->now = get32(packet + 4);
	put16(packet + 2, s->sequence);
	return real_sendto(fd, packet, VOICE, flags, to, to_len);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS)
		is_raw[fd] = 0;
	return real_close(fd);
}
