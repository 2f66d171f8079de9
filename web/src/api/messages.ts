// The messages of `proto/historian/v1` that the page reads, as proto3 JSON has them: 64-bit integers are text, fields with their default may
// be absent.
export type ValueType = 'f64' | 'f32' | 'i64' | 'u64' | 'bool' | 'string' | 'state';

export interface Tag {
  readonly name: string;
  readonly value_type?: string;
  readonly unit?: string;
  readonly description?: string;
  readonly stepped?: boolean;
  readonly range_low?: number;
  readonly range_high?: number;
  readonly state_set?: readonly string[];
  readonly device?: string;
  readonly address?: string;
  readonly id?: number;
  readonly create_time?: string;
  readonly update_time?: string;
}

export interface ListTagsResponse {
  readonly tags?: readonly Tag[];
  readonly next_page_token?: string;
  readonly total?: string | number;
}

export interface Gap {
  readonly number?: string;
  readonly time?: string;
  readonly tag?: string;
  readonly start?: string;
  readonly end?: string;
  readonly reason?: string;
  readonly detail?: string;
}

export interface ListGapsResponse {
  readonly gaps?: readonly Gap[];
  readonly next?: string;
}

export interface UndeliveredTag {
  readonly tag?: string;
  readonly reason?: string;
  readonly since?: string;
}

export interface DeviceStatus {
  readonly device?: string;
  readonly protocol?: string;
  readonly endpoint?: string;
  readonly state?: string;
  readonly connects?: string;
  readonly requests?: string;
  readonly timeouts?: string;
  readonly exceptions?: string;
  readonly polls_missed?: string;
  readonly samples?: string;
  readonly samples_dropped?: string;
  readonly samples_rejected?: string;
  readonly items_wanted?: string;
  readonly items_created?: string;
  readonly items_delivering?: string;
  readonly last_error?: string;
  readonly last_error_time?: string;
  readonly last_good_time?: string;
  readonly holes?: readonly string[];
  readonly undelivered?: readonly UndeliveredTag[];
  readonly undelivered_tags?: string;
  readonly latency_p50?: string;
  readonly latency_p99?: string;
  readonly clock_offset?: string;
}

export interface CollectorStatus {
  readonly devices?: readonly DeviceStatus[];
  /** The caller does not administer: devices are told as far as it is of tags that it may read, without counters, endpoints and error texts. */
  readonly limited?: boolean;
}

/** Columns of one tag, of which the one that is there has its value type as its name. */
export interface TagSamples {
  readonly timestamps?: readonly string[];
  readonly values?: Readonly<Record<string, { readonly values?: readonly (number | string | boolean)[] }>>;
  readonly qualities?: readonly number[];
  readonly nulls?: readonly number[];
}

export interface TagStatus {
  readonly tag?: string;
  readonly device?: string;
  readonly address?: string;
  readonly delivery?: string;
  readonly last?: TagSamples;
  readonly interval?: string;
  readonly last_error?: string;
  readonly last_error_time?: string;
}

export interface ListTagStatusResponse {
  readonly tags?: readonly TagStatus[];
  readonly next_page_token?: string;
}

export interface DetectorParameter {
  readonly name?: string;
  readonly description?: string;
  readonly unit?: string;
  readonly default_value?: string;
  readonly allowed?: string;
}

export interface Detector {
  readonly name?: string;
  readonly description?: string;
  readonly parameters?: readonly DetectorParameter[];
}

export interface Progress {
  readonly phase?: string;
  readonly bytes_done?: string;
  readonly bytes_total?: string;
}

export interface ServerStatus {
  readonly version?: string;
  readonly start_time?: string;
  readonly tags?: string;
  readonly watermark?: string;
  readonly samples_written?: string;
  readonly head_samples?: string;
  readonly accepting_writes?: boolean;
  readonly no_room?: string;
  readonly memory_bytes_max?: string;
  readonly memory_bytes_taken?: string;
  readonly scrub?: {
    readonly progress?: Progress;
    readonly last?: { readonly end_time?: string; readonly bytes?: string; readonly samples?: string; readonly damaged?: string };
  };
  readonly retention?: readonly { readonly tags?: readonly string[]; readonly age_s?: string }[];
  readonly tls?: { readonly subject?: string; readonly names?: readonly string[]; readonly expiry_time?: string; readonly refused?: string };
}

export interface Backup {
  readonly number?: string;
  readonly time?: string;
  readonly tags?: string;
  readonly files?: string;
  readonly bytes?: string;
  readonly bytes_new?: string;
  readonly problem?: string;
}

export interface AuditEntry {
  readonly number?: string;
  readonly time?: string;
  readonly action?: string;
  readonly principal?: string;
  readonly tags?: readonly string[];
  readonly start?: string;
  readonly end?: string;
  readonly samples?: string;
  readonly detail?: string;
  readonly client?: string;
}

export interface WhoAmI {
  readonly name?: string;
  readonly known_by?: string;
  readonly rights?: readonly GrantedRight[];
}

export interface GrantedRight {
  readonly right?: string;
  readonly everywhere?: boolean;
  /** Names and globs of the tags that it holds for otherwise. */
  readonly tags?: readonly string[];
  readonly tags_left_out?: string;
}

export interface AnnotationMessage {
  readonly id?: string;
  readonly version?: number;
  readonly tags?: readonly string[];
  readonly start_time?: string;
  readonly end_time?: string;
  readonly text?: string;
  readonly author?: string;
  readonly time?: string;
  readonly removed?: boolean;
}

export interface ListAnnotationsResponse {
  readonly annotations?: readonly AnnotationMessage[];
  readonly next_page_token?: string;
}

export interface SavedView {
  readonly id?: string;
  readonly version?: number;
  readonly name?: string;
  readonly owner?: string;
  readonly shared?: boolean;
  /** What stands behind the `?` of the Trend's address. */
  readonly content?: string;
  readonly time?: string;
}

export function valueType(tag: Tag): ValueType {
  return (tag.value_type ?? 'VALUE_TYPE_F64').replace('VALUE_TYPE_', '').toLowerCase() as ValueType;
}
