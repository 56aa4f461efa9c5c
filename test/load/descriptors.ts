/** How many descriptors a program of the lab may have open: put in front of its command line. */

/** Enough for 10,000 connections with two sockets each and what goes with them; where we may not, as many as we may. */
export const manyDescriptors = ['sh', '-c', 'ulimit -n 200000 2>/dev/null || ulimit -n "$(ulimit -H -n)"; exec "$@"', 'sh'];

export const atMostDescriptors = (most: number): readonly string[] => ['sh', '-c', `ulimit -n ${most}; exec "$@"`, 'sh'];
