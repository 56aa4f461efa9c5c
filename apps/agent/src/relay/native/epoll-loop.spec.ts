import { afterEach, describe, expect, it } from 'vitest';
import { EFD_CLOEXEC, EFD_NONBLOCK } from '../../system/native/constants.js';
import { loadRelayLibc } from '../../system/native/relay-libc.js';
import { EpollLoop } from './epoll-loop.js';
import { EPOLLIN, EPOLLOUT } from './loop.js';
import { REST, Rest } from './rests.js';

const libc = loadRelayLibc();
const one = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
const opened: number[] = [];
const event = (count = 0): number => {
  const fd = libc.eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);
  opened.push(fd);
  return fd;
};
const errors: unknown[] = [];
const open = () => new EpollLoop(libc, (error) => errors.push(error));
/** Ends the loop, and with it its epoll. */
const end = (loop: EpollLoop) => {
  loop.stop();
  loop.run();
};

afterEach(() => {
  for (const fd of opened.splice(0)) libc.close(fd);
  errors.length = 0;
});

describe('EpollLoop', () => {
  it('tells what is ready, until it is not watched any more', () => {
    const loop = open();
    const fd = event(1);
    const seen: number[] = [];
    loop.watch(fd, EPOLLIN, (events) => seen.push(events));
    loop.turn();
    loop.rewatch(fd, EPOLLIN | EPOLLOUT);
    loop.turn();
    loop.unwatch(fd);
    loop.again(() => undefined);
    loop.turn();
    expect(seen).toEqual([EPOLLIN, EPOLLIN | EPOLLOUT]);
    end(loop);
  });

  it('keeps an event of a closed descriptor from the one that got its number', () => {
    const loop = open();
    const [a, b] = [event(1), event(1)];
    const seen: string[] = [];
    /** Whoever comes first closes the other, whose event was taken already, and opens another in its place. */
    const swap = (name: string, other: number) => () => {
      seen.push(name);
      loop.forget(other);
      libc.close(other);
      const again = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      expect(again).toBe(other);
      loop.watch(again, EPOLLIN, () => seen.push('an event of before'));
    };
    loop.watch(a, EPOLLIN, swap('a', b));
    loop.watch(b, EPOLLIN, swap('b', a));
    loop.turn();
    expect(seen).toHaveLength(1);
    end(loop);
  });

  it('serves what is ready before those who asked for a further turn, and each of them once in a turn', () => {
    const loop = open();
    const order: string[] = [];
    const greedy = (name: string) => {
      const run = () => {
        order.push(name);
        loop.again(run);
      };
      return run;
    };
    loop.again(greedy('x'));
    loop.again(greedy('y'));
    const fd = event(1);
    loop.watch(fd, EPOLLIN, () => order.push('ready'));
    loop.turn();
    loop.turn();
    expect(order).toEqual(['ready', 'x', 'y', 'ready', 'x', 'y']);
    end(loop);
  });

  it('looks who is ready between two who take long', () => {
    const loop = open();
    const order: string[] = [];
    const fd = event(0);
    loop.watch(fd, EPOLLIN, () => order.push('ready'));
    const long = (name: string) => () => {
      order.push(name);
      libc.write(fd, one, 8);
      const until = performance.now() + 5;
      while (performance.now() < until);
    };
    loop.again(long('x'));
    loop.again(long('y'));
    loop.turn();
    loop.turn();
    expect(order).toEqual(['x', 'ready', 'y']);
    end(loop);
  });

  it('sleeps until a timer is due, and goes on after a handler that throws', () => {
    const loop = open();
    const ran: string[] = [];
    const cancelled = loop.after(1, () => ran.push('cancelled'));
    cancelled.cancel();
    loop.after(20, () => {
      ran.push('timer');
      throw new Error('no');
    });
    const began = performance.now();
    while (ran.length === 0) loop.turn();
    expect(performance.now() - began).toBeGreaterThanOrEqual(19);
    expect(ran).toEqual(['timer']);
    expect(errors).toHaveLength(1);
    end(loop);
  });

  it('ends rests when they are over, whatever timers there are, and sleeps meanwhile', () => {
    const loop = open();
    const ended: number[] = [];
    const began = performance.now();
    const rest = new Rest(() => ended.push(performance.now() - began));
    loop.after(10_000, () => undefined);
    loop.setRest(rest);
    let turns = 0;
    while (ended.length === 0) {
      loop.turn();
      turns++;
    }
    expect(ended[0]).toBeGreaterThanOrEqual(REST);
    expect(turns).toBeLessThan(4);
    loop.setRest(rest);
    loop.clearRest(rest);
    loop.after(1, () => ended.push(0));
    while (ended.length === 1) loop.turn();
    expect(ended[1]).toBe(0);
    end(loop);
  });
});
