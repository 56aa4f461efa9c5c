import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import {
  type DesiredEgress,
  DesiredEgressSchema,
  type DesiredEntry,
  type DesiredForward,
  DesiredForwardSchema,
  EnrolService,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  SessionService,
} from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { type GatewaySettings, GatewaySettingsSchema } from '@gwctl/proto/gwctl/v1/types_pb';
import { EMPTY_DIGEST, xorInto } from '@gwctl/shared/domain/digest';
import type { AppError } from '@gwctl/shared/errors/app-error';
import { unary } from '@gwctl/shared/grpc/client';
import { canonicalPath, methodDefinition } from '@gwctl/shared/grpc/definition';
import { fromServiceError } from '@gwctl/shared/grpc/status';
import { entryHash } from '@gwctl/shared/hash/entry-hash';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface KeyAndRequest {
  readonly keyPem: string;
  readonly csr: Uint8Array;
}

export async function makeKeyAndRequest(): Promise<KeyAndRequest> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: 'CN=agent', keys, signingAlgorithm: ALGORITHM });
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { keyPem: x509.PemConverter.encode(key, 'PRIVATE KEY'), csr: new Uint8Array(request.rawData) };
}

type MakeClient = (key?: string, certificate?: string) => Client;
type Says = NonNullable<MessageInitShape<typeof SessionRequestSchema>['message']>;
type Hello = Extract<Says, { case: 'hello' }>['value'];

/** An agent without a gateway: holds an identity, speaks the protocol, keeps what it is told. */
export class FakeAgent {
  readonly gatewayUid: string;
  readonly made: KeyAndRequest;
  readonly client: Client;
  certificate: string;
  private readonly makeClient: MakeClient;

  private constructor(options: {
    readonly gatewayUid: string;
    readonly made: KeyAndRequest;
    readonly certificate: string;
    readonly makeClient: MakeClient;
  }) {
    this.gatewayUid = options.gatewayUid;
    this.made = options.made;
    this.certificate = options.certificate;
    this.makeClient = options.makeClient;
    this.client = this.makeClient(this.made.keyPem, this.certificate);
  }

  static async enrol(options: {
    readonly token: string;
    readonly made: KeyAndRequest;
    readonly client: MakeClient;
  }): Promise<FakeAgent> {
    const { token, made, client } = options;
    const enrolled = await unary(client(), EnrolService.method.enrol, { token, csr: made.csr, hostname: 'fake' });
    return new FakeAgent({
      gatewayUid: enrolled.gatewayUid,
      made,
      certificate: enrolled.certificateChain,
      makeClient: client,
    });
  }

  /** The same agent with other clients, for instance of another replica. */
  static with(options: { readonly agent: FakeAgent; readonly client: MakeClient }): FakeAgent {
    const { gatewayUid, made, certificate } = options.agent;
    return new FakeAgent({ gatewayUid, made, certificate, makeClient: options.client });
  }

  /** A session from nothing, or from what an earlier one held. */
  connect(hello: Hello = {}, held?: Held): FakeSession {
    const client = this.makeClient(this.made.keyPem, this.certificate);
    return new FakeSession(client, { gatewayUid: this.gatewayUid, instanceId: 'a', ...hello }, held);
  }
}

/** What an agent holds on its disk. */
export interface Held {
  readonly epoch: string;
  readonly revision: bigint;
  readonly entries: ReadonlyMap<string, Uint8Array>;
}

export class FakeSession {
  readonly received: SessionResponse['message'][] = [];
  /** Of every kind, by uid. */
  readonly entries: Map<string, Uint8Array>;
  epoch = '';
  revision = 0n;
  /** Whether it says Accepted and Applied by itself. */
  answers = true;
  ended: AppError | 'ok' | undefined;
  private readonly call: ClientDuplexStream<SessionRequest, SessionResponse>;
  private readonly waiting = new Set<() => void>();

  constructor(client: Client, hello: Hello, held: Held | undefined) {
    this.entries = new Map(held?.entries);
    this.revision = held?.revision ?? 0n;
    const method = SessionService.method.session;
    const definition = methodDefinition(method);
    this.call = client.makeBidiStreamRequest(canonicalPath(method), definition.requestSerialize, definition.responseDeserialize);
    this.call.on('data', (response: SessionResponse) => this.take(response.message));
    this.call.on('error', (error) => {
      this.ended ??= fromServiceError(error as Parameters<typeof fromServiceError>[0]);
      this.look();
    });
    this.call.on('end', () => {
      setImmediate(() => {
        this.ended ??= 'ok';
        this.look();
      });
    });
    const holds = held && { epoch: held.epoch, acceptedRevision: held.revision, digest: digestOf(held.entries) };
    this.say({ case: 'hello', value: { ...hello, ...holds } });
  }

  say(message: Says): void {
    this.call.write(create(SessionRequestSchema, { message }));
  }

  leave(): void {
    this.call.end();
  }

  get held(): Held {
    return { epoch: this.epoch, revision: this.revision, entries: new Map(this.entries) };
  }

  get digest(): Uint8Array {
    return digestOf(this.entries);
  }

  forward(uid: string): DesiredForward | undefined {
    const bytes = this.entries.get(uid);
    return bytes && fromBinary(DesiredForwardSchema, bytes);
  }

  egress(uid: string): DesiredEgress | undefined {
    const bytes = this.entries.get(uid);
    return bytes && fromBinary(DesiredEgressSchema, bytes);
  }

  /** The settings of the gateway with this uid, where it was told any. */
  settings(gatewayUid: string): GatewaySettings | undefined {
    const bytes = this.entries.get(gatewayUid);
    return bytes && fromBinary(GatewaySettingsSchema, bytes);
  }

  /** Resolves when `condition` holds; it is looked at whenever something arrives. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }

  /** What the session ended with. */
  async end(): Promise<AppError | 'ok'> {
    await this.until(() => this.ended !== undefined);
    return this.ended ?? 'ok';
  }

  has(kind: SessionResponse['message']['case']): boolean {
    return this.received.some((m) => m.case === kind);
  }

  private take(message: SessionResponse['message']): void {
    this.received.push(message);
    if (message.case === 'welcome') this.epoch = message.value.epoch;
    if (message.case === 'snapshotBegin') this.entries.clear();
    if (message.case === 'snapshotPart') this.put(message.value.entries);
    if (message.case === 'snapshotEnd') this.reached(message.value.revision);
    if (message.case === 'change') {
      this.put(message.value.upserts);
      for (const uid of message.value.removals) this.entries.delete(uid);
      this.reached(message.value.revision);
    }
    this.look();
  }

  private put(entries: readonly DesiredEntry[]): void {
    for (const { uid, forward, egress, settings } of entries) {
      const [content, ...more] = [forward, egress, settings].filter((bytes) => bytes.length > 0);
      if (!content || more.length > 0) throw new Error(`entry ${uid} does not hold exactly one content`);
      this.entries.set(uid, content);
    }
  }

  private reached(revision: bigint): void {
    this.revision = revision;
    if (!this.answers) return;
    this.say({ case: 'accepted', value: { epoch: this.epoch, revision, digest: this.digest } });
    this.say({ case: 'applied', value: { epoch: this.epoch, revision } });
  }

  private look(): void {
    for (const look of [...this.waiting]) look();
  }
}

export const digestOf = (entries: ReadonlyMap<string, Uint8Array>): Uint8Array =>
  [...entries].reduce((digest, [uid, bytes]) => xorInto(digest, entryHash(uid, bytes)), EMPTY_DIGEST);
