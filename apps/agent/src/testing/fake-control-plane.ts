import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type handleUnaryCall, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  type EnrolRequest,
  type EnrolResponse,
  EnrolResponseSchema,
  EnrolService,
  IdentityService,
  type RenewRequest,
  type RenewResponse,
  RenewResponseSchema,
  type SessionRequest,
  type SessionResponse,
  SessionResponseSchema,
  SessionService,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { AppError } from '@gwctl/shared/errors/app-error';
import { serviceDefinition } from '@gwctl/shared/grpc/definition';
import { toStatus } from '@gwctl/shared/grpc/status';
import type { Change, Snapshot } from '../desired/types.js';
import { toWire } from '../desired/wire-entry.js';
import { makeCa, type TestCa } from './certificates.js';
import { EPOCH, uidOf } from './forwards.js';

export const GATEWAY_UID = uidOf(999_999);

type Response = MessageInitShape<typeof SessionResponseSchema>;
type Kind = NonNullable<SessionRequest['message']['case']>;
type Value<K extends Kind> = Extract<SessionRequest['message'], { readonly case: K }>['value'];

/** One session as the control plane sees it. */
export class FakeSession {
  private readonly waiting = new Set<() => void>();
  readonly received: SessionRequest[] = [];
  over = false;

  constructor(private readonly call: ServerDuplexStream<SessionRequest, SessionResponse>) {
    const wake = () => {
      for (const w of [...this.waiting]) w();
    };
    call.on('data', (message: SessionRequest) => {
      this.received.push(message);
      wake();
    });
    const ended = () => {
      this.over = true;
      wake();
    };
    call.on('end', ended);
    call.on('cancelled', ended);
    call.on('error', ended);
  }

  /** The first message of this kind that `accepts` likes, now or later. */
  async first<K extends Kind>(kind: K, accepts: (value: Value<K>) => boolean = () => true): Promise<Value<K>> {
    for (let at = 0; ; ) {
      for (; at < this.received.length; at++) {
        const message = this.received[at]?.message;
        if (message?.case === kind && accepts(message.value as Value<K>)) return message.value as Value<K>;
      }
      if (this.over) throw new Error(`the session ended before ${kind}`);
      await this.next();
    }
  }

  async ended(): Promise<void> {
    while (!this.over) await this.next();
  }

  send(message: Response): void {
    this.call.write(create(SessionResponseSchema, message));
  }

  welcome(epoch = EPOCH): void {
    this.send({ message: { case: 'welcome', value: { sessionId: 's1', epoch, gateway: 'gw1', controlVersion: '0' } } });
  }

  resume(revision: number): void {
    this.send({ message: { case: 'resume', value: { revision: BigInt(revision) } } });
  }

  snapshot({ revision, entries, digest, allowMassRemoval }: Snapshot, perPart = 2): void {
    this.send({
      message: {
        case: 'snapshotBegin',
        value: { revision: BigInt(revision), forwards: entries.length, digest, allowMassRemoval },
      },
    });
    for (let at = 0; at < entries.length; at += perPart)
      this.send({ message: { case: 'snapshotPart', value: { entries: entries.slice(at, at + perPart).map(toWire) } } });
    this.send({ message: { case: 'snapshotEnd', value: { revision: BigInt(revision) } } });
  }

  change({ from, revision, upserts, removals, digest }: Change): void {
    const value = {
      fromRevision: BigInt(from),
      revision: BigInt(revision),
      upserts: upserts.map(toWire),
      removals: [...removals],
      digest,
    };
    this.send({ message: { case: 'change', value } });
  }

  goAway(seconds: number): void {
    this.send({
      message: { case: 'goAway', value: { reconnectAfter: { seconds: BigInt(seconds), nanos: 0 }, reason: 'restart' } },
    });
  }

  close(): void {
    this.call.end();
  }

  fail(error: AppError): void {
    this.call.emit('error', toStatus(error));
  }

  private next(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.waiting.delete(wake);
        resolve();
      };
      this.waiting.add(wake);
    });
  }
}

/** A control plane that does what a spec says, over TLS and with real serialisation. */
export class FakeControlPlane {
  readonly enrolments: EnrolRequest[] = [];
  readonly renewals: RenewRequest[] = [];
  readonly sessions: FakeSession[] = [];
  token = 'right-token';
  private readonly server = new Server();
  private waiting: (() => void) | undefined;
  port = 0;

  private constructor(readonly ca: TestCa) {}

  static async start(
    options: { readonly hosts?: readonly string[]; readonly port?: number; readonly ca?: TestCa } = {},
  ): Promise<FakeControlPlane> {
    const plane = new FakeControlPlane(options.ca ?? (await makeCa()));
    const { key, chain } = await plane.ca.server(options.hosts ?? ['127.0.0.1', 'localhost']);
    plane.serve();
    const credentials = ServerCredentials.createSsl(
      Buffer.from(plane.ca.pem),
      [{ private_key: Buffer.from(key), cert_chain: Buffer.from(chain) }],
      false,
    );
    plane.port = await new Promise<number>((resolve, reject) => {
      plane.server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    return plane;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The session with this number, counted from 0, now or later. */
  async session(index: number): Promise<FakeSession> {
    for (;;) {
      const session = this.sessions[index];
      if (session) return session;
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
  }

  stop(): void {
    this.server.forceShutdown();
  }

  private serve(): void {
    const enrol: handleUnaryCall<EnrolRequest, EnrolResponse> = ({ request }, done) => {
      this.enrolments.push(request);
      if (request.token !== this.token)
        return done(
          toStatus(new AppError({ code: 'PERMISSION_DENIED', reason: 'TOKEN_REFUSED', message: 'the join token is not good' })),
        );
      const about = { gateway: 'gw1', gatewayUid: GATEWAY_UID, caBundle: this.ca.pem };
      this.ca
        .sign(request.csr)
        .then((certificateChain) => done(null, create(EnrolResponseSchema, { ...about, certificateChain })), done);
    };
    const renew: handleUnaryCall<RenewRequest, RenewResponse> = ({ request }, done) => {
      this.renewals.push(request);
      const caBundle = this.ca.pem;
      this.ca
        .sign(request.csr)
        .then((certificateChain) => done(null, create(RenewResponseSchema, { certificateChain, caBundle })), done);
    };
    this.server.addService(serviceDefinition(EnrolService), { enrol });
    this.server.addService(serviceDefinition(IdentityService), { renew });
    this.server.addService(serviceDefinition(SessionService), {
      session: (call: ServerDuplexStream<SessionRequest, SessionResponse>) => {
        this.sessions.push(new FakeSession(call));
        this.waiting?.();
      },
    });
  }
}
