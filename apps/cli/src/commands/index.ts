/** All commands. The path is the command: `commands/forward/add.ts` is `gwctl forward add`. Each is loaded when it is run. */
import { group, hiddenLeaf, leaf } from '../command/tree.js';

export const commands = group('Port forwards on a fleet of Linux gateways: said once, kept so, reported truthfully', {
  login: leaf(async () => (await import('./login.js')).login),
  context: group('Control planes that you are logged in to', {
    list: leaf(async () => (await import('./context/list.js')).listContexts),
    use: leaf(async () => (await import('./context/use.js')).useContext),
    show: leaf(async () => (await import('./context/show.js')).showContext),
    delete: leaf(async () => (await import('./context/delete.js')).deleteContext),
  }),
  gateway: group('Gateways: managed Linux hosts that carry forwards and egresses', {
    add: leaf(async () => (await import('./gateway/add.js')).addGateway),
    list: leaf(async () => (await import('./gateway/list.js')).listGateways),
    get: leaf(async () => (await import('./gateway/get.js')).getGateway),
    set: leaf(async () => (await import('./gateway/set.js')).setGateway),
    token: leaf(async () => (await import('./gateway/token.js')).gatewayToken),
    label: leaf(async () => (await import('./gateway/label.js')).labelGateway),
    cordon: leaf(async () => (await import('./gateway/cordon.js')).cordonGateway),
    uncordon: leaf(async () => (await import('./gateway/uncordon.js')).uncordonGateway),
    'allow-removal': leaf(async () => (await import('./gateway/allow-removal.js')).allowRemoval),
    delete: leaf(async () => (await import('./gateway/delete.js')).deleteGateway),
  }),
  forward: group('Forwards: what arrives at a listener goes to a target', {
    add: leaf(async () => (await import('./forward/add.js')).addForward),
    list: leaf(async () => (await import('./forward/list.js')).listForwards),
    get: leaf(async () => (await import('./forward/get.js')).getForward),
    set: leaf(async () => (await import('./forward/set.js')).setForward),
    delete: leaf(async () => (await import('./forward/delete.js')).deleteForward),
    enable: leaf(async () => (await import('./forward/enable.js')).enableForward),
    disable: leaf(async () => (await import('./forward/disable.js')).disableForward),
    extend: leaf(async () => (await import('./forward/extend.js')).extendForward),
  }),
  egress: group('Egresses: what leaves from inside gets an outside source address', {
    add: leaf(async () => (await import('./egress/add.js')).addEgress),
    list: leaf(async () => (await import('./egress/list.js')).listEgresses),
    get: leaf(async () => (await import('./egress/get.js')).getEgress),
    set: leaf(async () => (await import('./egress/set.js')).setEgress),
    delete: leaf(async () => (await import('./egress/delete.js')).deleteEgress),
    enable: leaf(async () => (await import('./egress/enable.js')).enableEgress),
    disable: leaf(async () => (await import('./egress/disable.js')).disableEgress),
  }),
  status: leaf(async () => (await import('./status.js')).status),
  events: leaf(async () => (await import('./events.js')).events),
  completion: leaf(async () => (await import('./completion.js')).completion),
  version: leaf(async () => (await import('./version.js')).version),
  __complete: hiddenLeaf(async () => (await import('./complete.js')).complete),
});
