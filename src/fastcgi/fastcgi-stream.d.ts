/** Types for the parts of `fastcgi-stream` that are used: record types, constants and control record bodies. */
declare module 'fastcgi-stream' {
  export interface Body {
    getSize(): number;
    write(buffer: Buffer): void;
    read(buffer: Buffer): void;
  }
  export interface RecordClass {
    readonly TYPE: number;
  }
  type Plain = 'AbortRequest' | 'Params' | 'StdIn' | 'StdOut' | 'StdErr' | 'Data' | 'GetValues';
  export interface Records extends Record<Plain, RecordClass> {
    BeginRequest: RecordClass & {
      new (role?: number, flags?: number): Body & { role: number; flags: number };
      readonly roles: { readonly RESPONDER: number; readonly AUTHORIZER: number; readonly FILTER: number };
      readonly flags: { readonly KEEPCONN: number };
    };
    EndRequest: RecordClass & {
      new (appStatus?: number, protocolStatus?: number): Body & { appStatus: number; protocolStatus: number };
      readonly protocolStatus: {
        readonly REQUEST_COMPLETE: number;
        readonly CANT_MPX_CONN: number;
        readonly OVERLOADED: number;
        readonly UNKNOWN_ROLE: number;
      };
    };
    GetValuesResult: RecordClass & (new (values?: [string, string][]) => Body);
    UnknownType: RecordClass & (new (type?: number) => Body & { type: number });
  }
  const fastcgi: {
    readonly records: Records;
    readonly constants: {
      readonly VERSION: number;
      readonly HEADER_LEN: number;
      readonly MAX_CONTENT_SIZE: number;
      readonly NULL_REQUEST_ID: number;
    };
    readonly FastCGIStream: unknown;
  };
  export default fastcgi;
}
